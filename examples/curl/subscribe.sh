#!/bin/sh
# Prints the stream as it is on the wire, until it is interrupted.
#   FANFARE_TOKEN=... examples/curl/subscribe.sh ['channel=user.c7&channel=team.t2']
set -eu
server=${FANFARE_URL:-http://127.0.0.1:8080}
# -N: do not buffer. Without `Accept: text/event-stream` a refusal comes as a status and a problem document.
exec curl --silent --show-error --fail-with-body -N "$server/v1/events?${1:-}" -H "Authorization: Bearer $FANFARE_TOKEN"
