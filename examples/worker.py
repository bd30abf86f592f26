#!/usr/bin/env python3
"""A worker of a pull group: worker.py ADDRESS GROUP [COUNT]. Prints each event; ends after COUNT of them."""

import json
import sys
import urllib.error
import urllib.parse
import urllib.request


def post(url, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method="POST")
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def work(address, group, count):
    base = f"{address.rstrip('/')}/factum/v1/groups/{urllib.parse.quote(group)}"
    while count > 0:
        for delivery in post(f"{base}/poll?max={min(count, 10)}&wait=20")["deliveries"]:
            tokens = {"tokens": [delivery["token"]]}
            try:
                message = delivery["message"]
                print(message["id"], message["type"], json.dumps(message["data"]), flush=True)
            except Exception as error:
                post(f"{base}/nack", tokens | {"reason": str(error)})
                continue
            try:
                post(f"{base}/ack", tokens)
                count -= 1
            except urllib.error.HTTPError as error:
                if error.code != 409:  # Its lease went to another worker: it is theirs.
                    raise


if __name__ == "__main__":
    work(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else sys.maxsize)
