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
#   Timeout: 60s                           optional: the most that the mutant's test may take
#
# The test first has to pass on the code as it is, within half of that time. Where the mutant's test then takes 6 seconds
# and three times as long, it waits for what the patch took away: it hangs, and is caught. A patch that does not apply or compile,
# changes nothing, or names no test is an error, not a catch: so is a test binary that ends without a failed test.
set -u
LC_ALL=C
export LC_ALL

root=$(cd "$(dirname "$0")/../.." && pwd) || exit 2
scratch=$(mktemp -d "${TMPDIR:-/tmp}/sluice-mutants.XXXXXX") || exit 2
tree=$scratch/tree
mkdir "$tree"
chmod 755 "$scratch" # as root, the tests' PostgreSQL runs as somebody else
child=
# shellcheck disable=SC2329 # trap calls it
clean_up() {
	if [ -n "$child" ]; then kill "$child" 2>/dev/null; wait "$child" 2>/dev/null; fi
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
# No repository is looked for above the copy, else git would take the patch for that one. One copy serves all patches:
# what a patch leaves alone comes out of the build cache, and what is not ours also from earlier builds.
export GIT_CEILING_DIRECTORIES="$scratch"
GOFLAGS="$(go env GOFLAGS) -buildvcs=false"
export GOFLAGS

field() { sed -n "/^diff /q; s/^$1: *//p" "$patch" | head -n 1; }

seconds() { # of 45, 45s or 2m
	case $1 in
	*m) echo $((${1%m} * 60)) ;;
	*) echo "${1%s}" ;;
	esac
}

clock() { date +%s; }

# compile PACKAGE BINARY: the package's tests, as they are now.
compile() { go test -c -ldflags "-s -w" -o "$2" "$1" >"$scratch/out" 2>&1; }

# try BINARY SECONDS: runs the named test in its package's folder. 0: it passed; 1: a test failed; 2: it ran too long;
# 3: anything else. Its time is left in $took.
try() {
	began=$(clock)
	(cd "$package" && exec "$1" -test.run "$run" -test.timeout "$2s" -test.v) >"$scratch/out" 2>&1 &
	child=$!
	wait "$child"
	code=$?
	child=
	took=$(($(clock) - began))
	if ! grep -q '^=== RUN' "$scratch/out"; then return 3; fi
	if grep -q '^panic: test timed out' "$scratch/out"; then return 2; fi
	if [ "$code" -eq 0 ]; then return 0; fi
	if grep -Eq '^ *--- FAIL|^panic: |^fatal error: ' "$scratch/out"; then return 1; fi
	return 3
}

# tell VERDICT SECONDS DETAIL: one line of the table.
tell() { printf '%-34s %-8s %4ss  %s\n' "$name" "$1" "$2" "$3"; }

# wrong DETAIL: the patch or its test cannot be used.
wrong() {
	errors=$((errors + 1))
	tell ERROR "${took:-0}" "$1"
	tail -n 25 "$scratch/out" | sed 's/^/    /'
}

wanted() {
	[ "$#" -gt 0 ] || return 0
	for part; do
		case $name in *"$part"*) return 0 ;; esac
	done
	return 1
}

mutant() {
	took=0
	invariant=$(field Invariant) package=$(field Package) run=$(field Run) limit=$(field Timeout)
	limit=$(seconds "${limit:-60s}")
	: >"$scratch/out"
	if [ -z "$invariant" ] || [ -z "$package" ] || [ -z "$run" ] || ! [ -d "$package" ]; then
		wrong "its header must name Invariant, Package and Run"
		return
	fi
	case $limit in *[!0-9]*) wrong "Timeout is not a number of seconds or minutes"; return ;; esac

	plain=$scratch/$(echo "$package" | tr -c 'A-Za-z0-9\n' _).test # compiled once for all patches of the package
	if ! [ -x "$plain" ] && ! compile "$package" "$plain"; then wrong "$package does not compile as it is"; return; fi
	known=$(awk -v key="$package $run" -F '\t' '$1 == key {print $2; exit}' "$scratch/plain")
	if [ -n "$known" ]; then
		took=$known # another patch's test, too
		[ "$took" -le $((limit / 2)) ]
	else
		try "$plain" $((limit / 2))
	fi
	case $? in
	0) hang=$((6 + 3 * took)); printf '%s\t%s\n' "$package $run" "$took" >>"$scratch/plain" ;;
	1) wrong "the test fails as it is"; return ;;
	2) wrong "the test takes more than half of $limit s as it is"; return ;;
	*) wrong "-run '$run' finds no test in $package, or it cannot run"; return ;;
	esac

	if ! git apply "$patch" >"$scratch/out" 2>&1 || ! git apply -R --check "$patch" >>"$scratch/out" 2>&1; then
		took=0 wrong "the patch does not apply"
		return
	fi
	if ! compile "$package" "$scratch/mutant.test"; then
		took=0 wrong "the mutant does not compile"
	elif cmp -s "$plain" "$scratch/mutant.test"; then
		took=0 wrong "the patch changes nothing in $package"
	else
		if [ "$hang" -gt "$limit" ]; then hang=$limit; fi
		try "$scratch/mutant.test" "$hang"
		case $? in
		0)
			survived=$((survived + 1))
			tell SURVIVED "$took" "$invariant: $run still passes"
			;;
		1) tell caught "$took" "$invariant" ;;
		2) tell hangs "$took" "$invariant" ;;
		*) wrong "the mutant's test ended in no failure of its own" ;;
		esac
	fi
	rm -f "$scratch/mutant.test"
	git apply -R "$patch" || { echo "mutants: $name cannot be taken back" >&2; exit 2; }
}

: >"$scratch/plain"
errors=0 survived=0 count=0 start=$(clock)
printf '%-34s %-8s %5s  %s\n' mutant verdict time "invariant"
for patch in "$root"/testdata/mutants/*.patch; do
	name=$(basename "$patch" .patch)
	if [ -f "$patch" ] && wanted "$@"; then
		count=$((count + 1))
		mutant
	fi
done
echo "$count mutants in $(($(clock) - start)) s: $survived survived, $errors could not be used"
[ "$count" -gt 0 ] && [ "$survived" -eq 0 ] && [ "$errors" -eq 0 ]
