# What the client scripts share: a private TPM or session keyring, a configuration, checks that count.
# shellcheck shell=bash disable=SC2034
# Usage: . lib.bash KIND MODULE (KIND: tpm or keyring)
set -euo pipefail

# p11-kit takes a relative path as one below its own folder.
kind=$1 module=$(realpath "$2")
if [ "${SIGNET_INTEROP:-}" != inside ]; then
	SIGNET_INTEROP=inside exec keyctl session - "$0" "$@" 2> >(grep -v '^Joined session keyring' >&2)
fi
dir=$(mktemp -d "${TMPDIR:-/tmp}/signet-interop.XXXXXX")
pin=user-1234 so_pin=officer-87654321 label=interop-$kind
pids=() swtpm_pid='' tcti='' failures=0
export LC_ALL=C.UTF-8 HOME=$dir

finish() {
	status=$?
	trap - EXIT
	for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
	if [ -n "$swtpm_pid" ]; then
		tpm2_shutdown -c -T "$tcti" 2>/dev/null || true
		kill "$swtpm_pid" 2>/dev/null || true
		wait "$swtpm_pid" 2>/dev/null || true
	fi
	rm -rf "$dir"
	exit $status
}
trap finish EXIT
trap 'exit 1' INT TERM

# check NAME COMMAND... - a test: passes if the command succeeds.
check() {
	local name=$1
	shift
	if "$@" >"$dir/check.log" 2>&1; then
		echo "PASS: $kind: $name"
	else
		echo "FAIL: $kind: $name: $*"
		sed 's/^/    /' "$dir/check.log"
		failures=$((failures + 1))
	fi
}

start_swtpm() {
	local port
	mkdir "$dir/tpm-state"
	for _ in $(seq 50); do
		port=$((20000 + (RANDOM % 20000)))
		swtpm socket --tpm2 --tpmstate dir="$dir/tpm-state" --flags not-need-init,startup-clear \
			--server type=tcp,port=$port,bindaddr=127.0.0.1 \
			--ctrl type=tcp,port=$((port + 1)),bindaddr=127.0.0.1 2>"$dir/swtpm.log" &
		swtpm_pid=$!
		tcti=swtpm:host=127.0.0.1,port=$port
		while kill -0 "$swtpm_pid" 2>/dev/null; do
			if tpm2_getrandom -Q -T "$tcti" --hex 1 >/dev/null 2>&1; then return; fi
		done
		wait "$swtpm_pid" || true
		swtpm_pid=
	done
	echo 'FAIL: no free ports for swtpm'
	exit 1
}

if [ "$kind" = tpm ]; then
	start_swtpm
	printf '[slot it]\ntype = tpm\ntcti = %s\nstore = %s\n' "$tcti" "$dir/store" >"$dir/signet.conf"
else
	printf '[slot it]\ntype = keyring\nkeyring = session\n' >"$dir/signet.conf"
fi
export SIGNET_CONF=$dir/signet.conf
[ -z "${SIGNET_LOG:-}" ] || export SIGNET_LOG

tool() {
	pkcs11-tool --module "$module" "$@"
}

initialize() {
	tool --init-token --slot 0 --label "$label" --so-pin "$so_pin" &&
		tool --login --login-type so --so-pin "$so_pin" --init-pin --pin "$pin"
}

# Nothing of ours may be left loaded in the TPM, and its own counter may not have moved.
tpm_is_clean() {
	[ "$kind" = tpm ] || return 0
	local left
	for what in handles-transient handles-loaded-session handles-saved-session; do
		left=$(tpm2_getcap -T "$tcti" $what) || return 1
		[ -z "$left" ] || { echo "$what: $left"; return 1; }
	done
	tpm2_getcap -T "$tcti" properties-variable >"$dir/properties" || return 1
	grep 'TPM2_PT_LOCKOUT_COUNTER' "$dir/properties"
	grep -q 'TPM2_PT_LOCKOUT_COUNTER: 0x0' "$dir/properties"
}

done_checking() {
	[ "$failures" = 0 ]
}
