"""Sends numbered syslog messages over UDP, spread evenly over a time; a process of its own. Prints what it did.

    python bench/udp_burst/sender.py PORT MESSAGES SECONDS

It imports nothing of socmon. Each message is a failed login over SSH, of one of 40 addresses, number N as process id.
"""

import json
import socket
import sys
import time

HOST = "burst-01"
ADDRESSES = 40
STEPS_A_SECOND = 200


def message(number: int, stamp: str) -> bytes:
    address = f"203.0.113.{number % ADDRESSES + 1}"
    text = f"<38>{stamp} {HOST} sshd[{number}]: Failed password for invalid user admin from {address} port 40022 ssh2"
    return text.encode()


def main() -> None:
    port, count, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    stamp = time.strftime("%b %e %H:%M:%S", time.gmtime())  # %e: the day of the month, 1 to 9 behind a blank
    messages = [message(number, stamp) for number in range(count)]
    step = max(1, round(count / seconds / STEPS_A_SECOND))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect(("127.0.0.1", port))
        began = time.monotonic()
        for first in range(0, count, step):
            # Behind its time, it does not wait: it catches up.
            time.sleep(max(0.0, began + first / count * seconds - time.monotonic()))
            for each in messages[first : first + step]:
                sender.send(each)
        took_s = time.monotonic() - began
    print(json.dumps({"sent": count, "took_s": took_s, "bytes": len(messages[-1])}))


if __name__ == "__main__":
    main()
