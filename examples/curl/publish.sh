#!/bin/sh
# Publishes one notification and prints the receipt.
#   FANFARE_TOKEN=... examples/curl/publish.sh [FILE|-]
set -eu
server=${FANFARE_URL:-http://127.0.0.1:8080}
order='{"type": "order.updated", "userId": "c7", "title": "Your order is paid", "data": {"order_id": "o1", "status": "paid", "seller_team_id": "t2", "total_cents": 250000}}'
# With --fail-with-body a refusal is printed, and the exit status tells of it.
curl --silent --show-error --fail-with-body "$server/v1/notifications" \
  -H "Authorization: Bearer $FANFARE_TOKEN" \
  -H 'Content-Type: application/json' \
  --data-binary "$(if [ $# -gt 0 ]; then cat -- "$1"; else printf '%s' "$order"; fi)"
echo
