#!/bin/sh
# Makes sure that Debian packages are installed: scripts/debian.sh PURPOSE PACKAGE...
# Or brings the list of packages up to date: scripts/debian.sh --update
# Asks apt only when one is missing. Needs root or a sudo that asks no question; says what to run otherwise.
set -eu

purpose=$1
shift

missing=""
for package in "$@"; do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || [ "$purpose" = --update ] || exit 0

if ! command -v apt-get >/dev/null; then
    echo "$purpose needs these (Debian's names), please install them:$missing" >&2
    exit 1
fi
if [ "$(id -u)" = 0 ]; then
    as_root="env"
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    as_root="sudo env"
else
    echo "$purpose needs packages that are not installed, please run:" >&2
    echo "    sudo apt-get install --no-install-recommends$missing" >&2
    exit 1
fi

# These packages would start a server of their own on this machine. Tests and benchmark start theirs, on their own ports.
for service in coturn janus nginx caddy redis-server haproxy mosquitto prometheus avahi-daemon; do
    case "$missing " in *" $service "*)
        if [ ! -e "/etc/systemd/system/$service.service" ]; then
            echo "masking $service.service, so that the package does not start it (undo: systemctl unmask $service)"
            $as_root mkdir -p /etc/systemd/system
            $as_root ln -s /dev/null "/etc/systemd/system/$service.service"
        fi ;;
    esac
done

log=$(mktemp)
trap 'rm -f "$log"' EXIT
quietly() {
    "$@" >"$log" 2>&1 </dev/null && return
    cat "$log" >&2
    echo "failed: $*" >&2
    exit 1
}
# A lock held by unattended-upgrades is waited for.
apt="$as_root DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300"
quietly $apt update
[ -n "$missing" ] || exit 0
echo "installing for $purpose:$missing"
# shellcheck disable=SC2086 # a list of words
quietly $apt install --no-install-recommends $missing
