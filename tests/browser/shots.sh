#!/usr/bin/env bash
# Looks at a report in headless Chromium: takes screenshots in light and dark, and checks that no request leaves the page.
#
#   tests/browser/shots.sh runs/precursor_timing/report.html [FOLDER]
#
# Writes light.png, dark.png, narrow.png and print.pdf to FOLDER (default: a new one under /tmp); HEIGHT=9000 in the
# environment makes room for longer pages. Exit codes: 0 no request left; 1 one did, or the check itself does not work;
# 2 wrong arguments; 77 skipped, there is no Chromium.
set -euo pipefail

report=${1:-}
if [[ ! -f $report ]]; then
    echo "usage: $0 REPORT.html [FOLDER]" >&2
    exit 2
fi
chromium=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
if [[ -z $chromium ]] || ! command -v python3 >/dev/null; then
    echo "SKIPPED: no chromium (or no python3 to read its log); NOTHING WAS CHECKED (apt-get install chromium)" >&2
    exit 77
fi
report=$(realpath "$report")
folder=${2:-$(mktemp -d /tmp/report-shots.XXXXXX)}
mkdir -p "$folder"
folder=$(realpath "$folder")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A profile of its own each time, and a proxy that is not there: what tries to leave shows in the log and goes nowhere.
browse() {
    local log=$1
    shift
    timeout 120 "$chromium" --headless=new --no-sandbox --disable-gpu --hide-scrollbars --no-first-run \
        --disable-background-networking --disable-component-update --disable-sync --disable-default-apps \
        --disable-extensions --proxy-server=127.0.0.1:9 --user-data-dir="$(mktemp -d -p "$work")" \
        --virtual-time-budget=3000 --log-net-log="$log" "$@" >"$work/said" 2>&1 || {
        echo "chromium failed:" >&2
        tail -5 "$work/said" >&2
        exit 1
    }
}

# Addresses that a page asked for besides files and data. What the browser itself asks for has no origin.
leaving() {
    python3 - "$1" <<'PY'
import json, sys

text = open(sys.argv[1]).read().rstrip()
try:
    log = json.loads(text)
except json.JSONDecodeError:  # The browser ended before it closed the log.
    log = json.loads(text.rstrip(",\n") + "]}")
kinds = {number: name for name, number in log["constants"]["logEventTypes"].items()}
found = set()
for event in log["events"]:
    if kinds.get(event["type"]) not in ("URL_REQUEST_START_JOB", "CORS_REQUEST"):
        continue
    params = event.get("params", {})
    url, origin = params.get("url", ""), params.get("initiator", "not an origin")
    if url and origin != "not an origin" and not url.startswith(("file:", "data:", "blob:", "chrome:")):
        found.add(url)
print("\n".join(sorted(found)))
PY
}

# The check must see a request where there is one.
printf '<!doctype html><img src="http://runner.invalid/control.png">' >"$work/control.html"
browse "$work/control.json" --screenshot="$work/control.png" "file://$work/control.html"
if [[ $(leaving "$work/control.json") != *runner.invalid/control.png* ]]; then
    echo "the check does not work: the control page's request is not in the browser's log" >&2
    exit 1
fi

height=${HEIGHT:-6000}
browse "$work/light.json" --blink-settings=preferredColorScheme=1 --window-size="1280,$height" --screenshot="$folder/light.png" "file://$report"
browse "$work/dark.json" --blink-settings=preferredColorScheme=0 --window-size="1280,$height" --screenshot="$folder/dark.png" "file://$report"
browse "$work/narrow.json" --blink-settings=preferredColorScheme=1 --window-size="500,$height" --screenshot="$folder/narrow.png" "file://$report"
browse "$work/print.json" --no-pdf-header-footer --print-to-pdf="$folder/print.pdf" "file://$report"

left=$(for look in light dark narrow print; do leaving "$work/$look.json"; done | sort -u | sed '/^$/d')
if [[ -n $left ]]; then
    printf 'requests left the page:\n%s\n' "$left" >&2
    exit 1
fi
echo "no request left the page; light.png, dark.png, narrow.png and print.pdf are in $folder"
