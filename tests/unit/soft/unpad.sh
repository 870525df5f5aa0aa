#!/bin/sh
# unpad.sh count|taint UNPAD - shows that PKCS#1 v1.5 unpadding does the same whatever it finds (tests/unit/soft/unpad.c):
# count: every call for one length of modulus takes the same number of instructions; taint: no branch and no address
# depends on the decrypted block.  Never by time.
set -eu
command -v valgrind >/dev/null || { echo 'no valgrind here'; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

if [ "$1" = taint ]; then
	valgrind --quiet --error-exitcode=9 "$2"
	exit
fi

valgrind --quiet --tool=callgrind --collect-atstart=no --callgrind-out-file="$dir/out" "$2"
# The dump of each call: "desc: Trigger: Client Request: BITS bits, case" and "summary: INSTRUCTIONS".
awk '
	/^desc: Trigger: Client Request: / { sub(/^desc: Trigger: Client Request: /, ""); name = $0 }
	/^(summary|totals): / && name != "" { count[name] = $2; name = "" }
	END {
		for (name in count) {
			if (name ~ /warm-up/) continue
			bits = name; sub(/ .*/, "", bits)
			calls++
			if (!(bits in want)) { want[bits] = count[name]; like[bits] = name }
			if (count[name] < 1000 || count[name] != want[bits]) {
				print name ": " count[name] " instructions; " like[bits] ": " want[bits]
				bad = 1
			}
		}
		for (bits in want) { sizes++; print bits " bits: " want[bits] " instructions" }
		print calls + 0 " calls counted"
		exit bad || sizes != 4 || calls != 76
	}' "$dir"/out.*
