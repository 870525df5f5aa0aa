#!/bin/bash
# opensc.sh KIND MODULE - pkcs11-tool (OpenSC): its own self tests, and signatures that openssl verifies.
. "$(dirname "$0")/lib.bash"

quiet_test() {
	tool --login --pin "$pin" "$@" >"$dir/out" 2>&1 || { cat "$dir/out"; return 1; }
	cat "$dir/out"
	# pkcs11-tool reports a failed step in its text, not always in its status.
	! grep -E 'ERR:|error:|ERROR|[Ff]ailed|CKR_|^[1-9][0-9]* errors' "$dir/out"
}

sign_verify() {
	local id=$1 mechanism=$2 name=$3
	echo "$mechanism" >"$dir/message"
	# By p11tool: OpenSC 0.23 can't read a P-384 key from any module.
	p11tool --provider "$module" --export --outfile "$dir/$name.pem" "pkcs11:token=$label;id=%$id;type=public" &&
		tool --login --pin "$pin" --sign --id "$id" --mechanism "$mechanism" --signature-format openssl \
			--input-file "$dir/message" --output-file "$dir/sig" &&
		openssl dgst "-$4" "${@:5}" -verify "$dir/$name.pem" -signature "$dir/sig" "$dir/message"
}

decrypt() {
	local mechanism=$1 hash=()
	shift
	[ $# = 0 ] || hash=(--hash-algorithm SHA256 --mgf MGF1-SHA256)
	echo 'a secret' >"$dir/plain"
	openssl pkeyutl -encrypt -pubin -inkey "$dir/rsa.pem" -in "$dir/plain" -out "$dir/cipher" "$@" &&
		tool --login --pin "$pin" --decrypt --id 02 --mechanism "$mechanism" "${hash[@]}" \
			--input-file "$dir/cipher" --output-file "$dir/back" &&
		cmp "$dir/plain" "$dir/back"
}

check 'initialize' initialize
check 'EC P-256 pair' tool --login --pin "$pin" --keypairgen --key-type EC:prime256v1 --id 01 --label ec
check 'RSA-2048 pair' tool --login --pin "$pin" --keypairgen --key-type rsa:2048 --id 02 --label rsa
check 'EC P-384 pair' tool --login --pin "$pin" --keypairgen --key-type EC:secp384r1 --id 03 --label ec384
check 'list objects' tool --login --pin "$pin" --list-objects
check 'list mechanisms' tool --list-mechanisms
check 'ECDSA-SHA256' sign_verify 01 ECDSA-SHA256 ec sha256
check 'ECDSA-SHA384 P-384' sign_verify 03 ECDSA-SHA384 ec384 sha384
check 'SHA256-RSA-PKCS' sign_verify 02 SHA256-RSA-PKCS rsa sha256
check 'SHA512-RSA-PKCS' sign_verify 02 SHA512-RSA-PKCS rsa sha512
check 'SHA256-RSA-PKCS-PSS' sign_verify 02 SHA256-RSA-PKCS-PSS rsa sha256 -sigopt rsa_padding_mode:pss
check 'RSA-PKCS decryption' decrypt RSA-PKCS
check 'RSA-PKCS-OAEP decryption' decrypt RSA-PKCS-OAEP -pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256
export_key() {
	tool --read-object --type pubkey --id "$1" --output-file "$dir/$1.der" &&
		openssl pkey -pubin -inform DER -in "$dir/$1.der" -noout
}
check 'read EC public key' export_key 01
check 'read RSA public key' export_key 02
check '--test' quiet_test --test
check '--test-ec' quiet_test --session-rw --test-ec --key-type EC:prime256v1 --id 0a --label test-ec
check 'change PIN' tool --login --pin "$pin" --change-pin --new-pin "new-$pin"
check 'old PIN is refused' bash -c "! pkcs11-tool --module '$module' --login --pin '$pin' --list-objects"
pin=new-$pin
check 'new PIN works' tool --login --pin "$pin" --list-objects
check 'delete' tool --login --pin "$pin" --delete-object --type privkey --id 03
check 'TPM is clean' tpm_is_clean
done_checking
