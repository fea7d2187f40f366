"""A producer: publishes one notification and prints the receipt, or why the server refused.

FANFARE_TOKEN=... python3 examples/python/publish.py
"""

import json
import os
import sys
import urllib.error
import urllib.request

SERVER = os.environ.get("FANFARE_URL", "http://127.0.0.1:8080")
ORDER = {
    "type": "order.updated",
    "userId": "c7",
    "title": "Your order is paid",
    "data": {"order_id": "o2", "status": "paid", "seller_team_id": "t2", "total_cents": 250_000},
}
HEADERS = {
    "Authorization": "Bearer " + os.environ["FANFARE_TOKEN"],
    "Content-Type": "application/json",
    # The event that it tells of, so that a retry after a lost answer changes nothing.
    "Idempotency-Key": "order-o2-paid",
}

request = urllib.request.Request(SERVER + "/v1/notifications", json.dumps(ORDER).encode(), HEADERS)
try:
    with urllib.request.urlopen(request, timeout=10) as response:
        print(response.status, json.dumps(json.load(response), indent=2))
except urllib.error.HTTPError as refusal:
    # A problem document: `code` is stable, `errors` lists every fault.
    sys.exit(f"{refusal.code} {refusal.read().decode()}")
