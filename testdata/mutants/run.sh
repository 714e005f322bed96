#!/bin/sh
# Takes the code that protects each invariant out, one patch at a time, in a copy of the tree, and fails when the
# invariant's test still passes: then the test proves nothing.
#
#   testdata/mutants/run.sh [NAME...]      only the patches whose file names contain one of NAME
#
# A patch is NAME.patch: a header, an empty line, and a diff as git writes it (git diff -U1 keeps it from going stale):
#
#   Invariant: what must always hold, in a line
#   Package: ./jobs
#   Run: ^TestName$
#
# The test first has to pass on the code as it is. Where the mutant's test then takes 10 seconds and three times as long, it
# waits for what the patch took away: it hangs, and is caught. A patch that does not apply or compile, changes nothing, or
# names no test is an error, not a catch: so is a test binary that ends without a failed test.
#
# What a patch takes away may matter only when things meet in a certain order, so a mutant's test that passes is run again, a
# few times in all, before the mutant has survived.
#
# WORKERS patches (3) are tried at once, each in a copy of its own: tests wait more than they compute. PART=K/N tries each Nth
# of the patches, beginning with the Kth, from 0: the N parts are all of them.
set -u
LC_ALL=C
export LC_ALL
most=8       # tries of a mutant's test until it counts as passed
patience=180 # seconds that a test may take as it is

root=$(cd "$(dirname "$0")/../.." && pwd) || exit 2
scratch=$(mktemp -d "${TMPDIR:-/tmp}/sluice-mutants.XXXXXX") || exit 2
tree=$scratch/1
mkdir "$tree" "$scratch/taken"
chmod 755 "$scratch" # as root, the tests' PostgreSQL runs as somebody else
workers=
# shellcheck disable=SC2329 # trap calls it
clean_up() {
	for pid in $workers; do kill "$pid" 2>/dev/null; done
	for pid in $workers; do wait "$pid" 2>/dev/null; done
	rm -rf "$scratch"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# The tree as it lies here, changes included, without what git ignores; all of it where git cannot say.
if (cd "$root" && git ls-files -co --exclude-standard -z) >"$scratch/files" 2>/dev/null && [ -s "$scratch/files" ]; then
	(cd "$root" && tr '\0' '\n' <"$scratch/files" | while read -r f; do
		if [ -f "$f" ]; then printf '%s\n' "$f"; fi
	done | tar -cf - -T -) | tar -xf - -C "$tree"
else
	(cd "$root" && tar -cf - --exclude=./.git --exclude=./bin --exclude=./.data .) | tar -xf - -C "$tree"
fi || { echo "mutants: cannot copy $root" >&2; exit 2; }
if [ -d "$root/../shared" ]; then ln -s "$(cd "$root/../shared" && pwd)" "$scratch/shared"; fi

cd "$tree" || exit 2
# No repository is looked for above the copies, else git would take the patch for that one. What a patch leaves alone comes
# out of the build cache, also from other copies and earlier runs: -trimpath makes the folder no part of it.
export GIT_CEILING_DIRECTORIES="$scratch"
GOFLAGS="$(go env GOFLAGS) -buildvcs=false"
export GOFLAGS

field() { sed -n "/^diff /q; s/^$1: *//p" "$patch" | head -n 1; }

clock() { date +%s; }

# plain_of PACKAGE: the binary of its tests as they are, for all patches of the package.
plain_of() { echo "$scratch/$(echo "$1" | tr -c 'A-Za-z0-9\n' _).test"; }

# compile PACKAGE BINARY: the package's tests, as they are now.
compile() { go test -c -trimpath -ldflags "-s -w" -o "$2" "$1" >"$out" 2>&1; }

# try BINARY SECONDS: runs the named test in its package's folder. 0: it passed; 1: a test failed; 2: it ran too long;
# 3: anything else. Its time is left in $took.
try() {
	began=$(clock)
	(cd "$package" && exec "$1" -test.run "$run" -test.timeout "$2s" -test.v) >"$out" 2>&1 &
	child=$!
	wait "$child"
	code=$?
	child=
	took=$(($(clock) - began))
	if ! grep -q '^=== RUN' "$out"; then return 3; fi
	if grep -q '^panic: test timed out' "$out"; then return 2; fi
	if [ "$code" -eq 0 ]; then return 0; fi
	if grep -Eq '^ *--- FAIL|^panic: |^fatal error: ' "$out"; then return 1; fi
	return 3
}

# tell VERDICT SECONDS DETAIL: one line of the table.
tell() { printf '%-34s %-8s %4ss  %s\n' "$name" "$1" "$2" "$3"; }

# wrong DETAIL: the patch or its test cannot be used.
wrong() {
	echo "$name" >>"$scratch/errors"
	tell ERROR "${took:-0}" "$1$(printf '\n'; tail -n 25 "$out" | sed 's/^/    /')"
}

wanted() {
	place=$((place + 1))
	[ -z "${PART:-}" ] || [ $((place % ${PART#*/})) -eq "${PART%/*}" ] || return 1
	[ "$#" -gt 0 ] || return 0
	for part; do
		case $name in *"$part"*) return 0 ;; esac
	done
	return 1
}

mutant() {
	took=0
	invariant=$(field Invariant) package=$(field Package) run=$(field Run)
	: >"$out"
	if [ -z "$invariant" ] || [ -z "$package" ] || [ -z "$run" ] || ! [ -d "$package" ]; then
		wrong "its header must name Invariant, Package and Run"
		return
	fi
	plain=$(plain_of "$package")
	if ! [ -x "$plain" ]; then wrong "$package does not compile as it is"; return; fi
	known=$(awk -v key="$package $run" -F '\t' '$1 == key {print $2; exit}' "$scratch/plain")
	if [ -n "$known" ]; then
		took=$known code=0 # another patch's test, too
	else
		try "$plain" "$patience"
		code=$?
	fi
	case $code in
	0) hang=$((10 + 3 * took)); printf '%s\t%s\n' "$package $run" "$took" >>"$scratch/plain" ;;
	1) wrong "the test fails as it is"; return ;;
	2) wrong "the test takes more than $patience s as it is"; return ;;
	*) wrong "-run '$run' finds no test in $package, or it cannot run"; return ;;
	esac

	if ! git apply "$patch" >"$out" 2>&1 || ! git apply -R --check "$patch" >>"$out" 2>&1; then
		took=0 wrong "the patch does not apply"
		return
	fi
	if ! compile "$package" "$binary"; then
		took=0 wrong "the mutant does not compile"
	elif cmp -s "$plain" "$binary"; then
		took=0 wrong "the patch changes nothing in $package"
	else
		tries=0 code=0
		while [ "$code" -eq 0 ] && [ "$tries" -lt "$most" ]; do
			try "$binary" "$hang"
			code=$? tries=$((tries + 1))
		done
		case $code in
		0)
			echo "$name" >>"$scratch/survived"
			tell SURVIVED "$took" "$invariant: $run still passes"
			;;
		1) tell caught "$took" "$invariant" ;;
		2) tell hangs "$took" "$invariant" ;;
		*) wrong "the mutant's test ended in no failure of its own" ;;
		esac
	fi
	rm -f "$binary"
	git apply -R "$patch" || { wrong "the patch cannot be taken back"; exit 2; }
}

# worker NUMBER NAME...: tries what no other has taken, in a copy of its own.
worker() {
	child='' out=$scratch/out.$1 binary=$scratch/mutant.$1.test
	trap 'if [ -n "$child" ]; then kill "$child" 2>/dev/null; wait "$child" 2>/dev/null; fi; exit 143' TERM
	cd "$scratch/$1" || exit 2
	shift
	place=-1
	for patch in "$root"/testdata/mutants/*.patch; do
		name=$(basename "$patch" .patch)
		if wanted "$@" && [ -f "$patch" ] && mkdir "$scratch/taken/$name" 2>/dev/null; then mutant; fi
	done
}

count_of() { if [ -f "$1" ]; then wc -l <"$1" | tr -d ' '; else echo 0; fi; }

: >"$scratch/plain"
start=$(clock) out=$scratch/out place=-1
for patch in "$root"/testdata/mutants/*.patch; do
	name=$(basename "$patch" .patch)
	if wanted "$@" && [ -f "$patch" ]; then
		package=$(field Package)
		if [ -d "$package" ] && ! [ -e "$(plain_of "$package")" ]; then
			compile "$package" "$(plain_of "$package")" || { echo "mutants: $package does not compile" >&2; cat "$out" >&2; exit 2; }
		fi
	fi
done
printf '%-34s %-8s %5s  %s\n' mutant verdict time "invariant"
number=${WORKERS:-3}
while [ "$number" -ge 1 ]; do
	if [ "$number" -gt 1 ]; then cp -R "$tree" "$scratch/$number" || exit 2; fi
	worker "$number" "$@" &
	workers="$workers $!"
	number=$((number - 1))
done
broken=0
for pid in $workers; do wait "$pid" || broken=1; done
workers=
count=$(find "$scratch/taken" -mindepth 1 | wc -l | tr -d ' ')
survived=$(count_of "$scratch/survived") errors=$(count_of "$scratch/errors")
for list in survived errors; do
	if [ -f "$scratch/$list" ]; then sed "s/^/$list: /" "$scratch/$list"; fi
done
echo "$count mutants in $(($(clock) - start)) s: $survived survived, $errors could not be used"
[ "$broken" -eq 0 ] && [ "$count" -gt 0 ] && [ "$survived" -eq 0 ] && [ "$errors" -eq 0 ]
