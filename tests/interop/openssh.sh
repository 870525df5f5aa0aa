#!/bin/bash
# openssh.sh KIND MODULE - ssh-keygen -D, ssh -I and ssh-add -s, against an sshd of its own on loopback.
. "$(dirname "$0")/lib.bash"

# The dangling socket of an agent would outlive us if it stood elsewhere.
export SSH_ASKPASS=$dir/askpass SSH_ASKPASS_REQUIRE=force
printf '#!/bin/sh\necho %s\n' "$pin" >"$dir/askpass"
chmod 0700 "$dir/askpass"

start_sshd() {
	local port
	[ "$(id -u)" != 0 ] || mkdir -p /run/sshd
	ssh-keygen -q -t ed25519 -N '' -f "$dir/host_key"
	for _ in $(seq 50); do
		port=$((20000 + (RANDOM % 20000)))
		printf '%s\n' "Port $port" 'ListenAddress 127.0.0.1' "HostKey $dir/host_key" \
			"AuthorizedKeysFile $dir/authorized_keys" 'PidFile none' 'StrictModes no' 'UsePAM no' \
			'PasswordAuthentication no' 'KbdInteractiveAuthentication no' >"$dir/sshd_config"
		: >"$dir/sshd.log"
		/usr/sbin/sshd -D -e -f "$dir/sshd_config" 2>"$dir/sshd.log" &
		pids+=($!)
		while kill -0 "${pids[-1]}" 2>/dev/null; do
			if grep -q 'Server listening' "$dir/sshd.log"; then
				ssh_port=$port
				echo "[127.0.0.1]:$port $(cut -d' ' -f1,2 "$dir/host_key.pub")" >"$dir/known_hosts"
				return
			fi
		done
		unset 'pids[-1]'
	done
	cat "$dir/sshd.log"
	return 1
}

ssh_in() {
	[ "$(ssh -F none -p "$ssh_port" -o UserKnownHostsFile="$dir/known_hosts" -o StrictHostKeyChecking=yes \
		-o PreferredAuthentications=publickey "$@" "$(id -un)@127.0.0.1" echo it-works)" = it-works ] ||
		{ cat "$dir/sshd.log"; return 1; }
}

shows_keys() {
	ssh-keygen -D "$module" >"$dir/authorized_keys" || return 1
	grep -q '^ecdsa-sha2-nistp256 ' "$dir/authorized_keys" && grep -q '^ssh-rsa ' "$dir/authorized_keys"
}

# Only the key of that type may open the door.
allow() {
	grep "^$1 " "$dir/all" >"$dir/authorized_keys"
}

# grep reads on to the end: leaving early, as -q does, would kill ssh-add, and with pipefail that is a failure.
agent_login() {
	ssh_in -o IdentityAgent="$dir/agent" && ssh-add -l | grep ECDSA >/dev/null
}

check 'initialize' initialize
check 'EC pair' tool --login --pin "$pin" --keypairgen --key-type EC:prime256v1 --id 01 --label ssh-ec
check 'RSA pair' tool --login --pin "$pin" --keypairgen --key-type rsa:2048 --id 02 --label ssh-rsa
check 'ssh-keygen -D' shows_keys
cp "$dir/authorized_keys" "$dir/all"
check 'sshd' start_sshd
for type in ecdsa-sha2-nistp256 ssh-rsa; do
	allow $type
	check "ssh -I, $type" ssh_in -o IdentityAgent=none -I "$module"
done
# The agent's helper loads modules from an allowed list only.
ssh-agent -D -P "$(realpath "$module")" -a "$dir/agent" >/dev/null 2>&1 &
pids+=($!)
until [ -S "$dir/agent" ] || ! kill -0 "${pids[-1]}"; do :; done
export SSH_AUTH_SOCK=$dir/agent
check 'ssh-add -s' ssh-add -s "$(realpath "$module")"
for type in ecdsa-sha2-nistp256 ssh-rsa; do
	allow $type
	check "ssh through the agent, $type" agent_login
done
check 'ssh-add -e' ssh-add -e "$(realpath "$module")"
check 'TPM is clean' tpm_is_clean
done_checking
