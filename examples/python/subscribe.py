"""A subscriber: prints each notification as it arrives, and resumes where it left off when the stream ends.

FANFARE_TOKEN=... python3 examples/python/subscribe.py [CHANNEL ...]
"""

import http.client
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

SERVER = os.environ.get("FANFARE_URL", "http://127.0.0.1:8080")
QUERY = urllib.parse.urlencode([("channel", name) for name in sys.argv[1:]])
# Without `Accept: text/event-stream` a refusal comes as a status and not as a stream.
headers = {"Authorization": "Bearer " + os.environ["FANFARE_TOKEN"], "Accept": "*/*"}
retry = 3.0

while True:
    try:
        request = urllib.request.Request(f"{SERVER}/v1/events?{QUERY}", headers=headers)
        # Heartbeats come every 15 seconds or so: a stream that is silent for longer is broken.
        with urllib.request.urlopen(request, timeout=45) as stream:
            event = {}
            for line in stream:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name:  # a comment has none
                    event[name] = value
                elif line == b"\n" and event:
                    print(event.get("event", "message"), event["data"], flush=True)
                    headers["Last-Event-ID"] = event.get("id", headers.get("Last-Event-ID", ""))
                    retry = int(event.get("retry", retry * 1000)) / 1000
                    event = {}
    except urllib.error.HTTPError as refusal:
        if refusal.code != 429 and refusal.code < 500:
            sys.exit(f"{refusal.code} {refusal.read().decode()}")
    except (OSError, http.client.HTTPException) as broken:
        print(f"{broken}; reconnecting", file=sys.stderr)
    time.sleep(retry)
