"""MQTT 5 (OASIS MQTT Version 5.0), for the collector and the forwarder of that kind."""
