"""What is known of events beyond their own words: the agency and system that they happened to."""

from socmon.enrich.assets import Assets
from socmon.enrich.inventory import Agency, Inventory, System, load_inventory

__all__ = ["Agency", "Assets", "Inventory", "System", "load_inventory"]
