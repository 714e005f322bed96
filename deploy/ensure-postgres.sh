#!/bin/sh
# Makes sure that PostgreSQL's server programs, version 15 or newer, are on this machine; Sluice starts a private server
# from them. Says nothing when they are there. Else installs them with the system's package manager, asking first on a
# terminal; else says what to do and exits 1. Looks where pim/postgres/localpg looks.
set -eu

oldest=15

# usable DIR: DIR holds both programs, and postgres answers with a version that is new enough.
usable() {
	[ -x "$1/postgres" ] && [ -x "$1/initdb" ] || return 1
	major=$("$1/postgres" --version 2>/dev/null | sed -n 's/^postgres (PostgreSQL) \([0-9][0-9]*\).*/\1/p')
	[ "${major:-0}" -ge "$oldest" ]
}

found() {
	old_ifs=$IFS
	IFS=:
	for dir in $PATH; do
		if usable "$dir"; then IFS=$old_ifs; return 0; fi
	done
	IFS=$old_ifs
	for dir in /usr/lib/postgresql/*/bin /usr/lib/postgresql*/bin /usr/pgsql-*/bin /usr/libexec/postgresql* \
		/opt/homebrew/opt/postgresql@*/bin /usr/local/opt/postgresql@*/bin \
		/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin /Applications/Postgres.app/Contents/Versions/*/bin; do
		if usable "$dir"; then return 0; fi
	done
	return 1
}

give_up() {
	cat >&2 <<-END
		Sluice needs PostgreSQL $oldest or newer: $1
		Do one of these, then run the same command again:
		  - install it:  Debian, Ubuntu: apt-get install postgresql · Fedora: dnf install postgresql-server
		                 Alpine: apk add postgresql · macOS: brew install postgresql@17
		                 (an older system: see https://www.postgresql.org/download/)
		  - or use a server of yours (for make demo): export DATABASE_URL=postgres://user:password@host/database
	END
	exit 1
}

as_root() {
	if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

has() { command -v "$1" >/dev/null 2>&1; }

# newest_apt prints the newest NN of the packages postgresql-NN that the package lists know.
newest_apt() {
	apt-cache --names-only search '^postgresql-[0-9]+$' 2>/dev/null |
		sed -n 's/^postgresql-\([0-9]*\) .*/\1/p' | sort -n | tail -n 1
}

add_apt() { as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$1"; }

add() {
	case $1 in
	apt-get)
		if [ "$(newest_apt || true)" = "" ]; then as_root apt-get update -q; fi
		version=$(newest_apt)
		[ "${version:-0}" -ge "$oldest" ] || give_up "it is not here, and the newest in apt-get's lists is ${version:-none}."
		add_apt "postgresql-$version" || { as_root apt-get update -q && add_apt "postgresql-$version"; } # the lists may be old
		;;
	dnf)
		# Red Hat's default is older; Fedora has no such modules.
		as_root dnf module enable -y postgresql:16 >/dev/null 2>&1 || true
		as_root dnf install -y postgresql-server
		;;
	apk) as_root apk add postgresql ;;
	brew) brew install postgresql@17 ;;
	esac
}

if found; then exit 0; fi

for manager in apt-get dnf apk brew none; do
	if has "$manager"; then break; fi
done
[ "$manager" != none ] || give_up "it is not here, and neither is a package manager that this script knows."
if [ "$manager" != brew ] && [ "$(id -u)" -ne 0 ] && ! has sudo; then
	give_up "it is not here, and installing it takes root's rights (or sudo)."
fi

if [ -t 0 ] && [ -t 2 ]; then
	printf 'Sluice needs PostgreSQL %s or newer. Install it with %s? [Y/n] ' "$oldest" "$manager" >&2
	read -r answer || answer=n
	case $answer in
	'' | y | Y | yes | Yes) ;;
	*) give_up "it is not here, and was not to be installed." ;;
	esac
else
	printf 'Installing PostgreSQL with %s.\n' "$manager" >&2
fi

add "$manager" >&2 || give_up "$manager could not install it; its own words are above."
found || give_up "what $manager installed is too old, or lies where it is not looked for."
