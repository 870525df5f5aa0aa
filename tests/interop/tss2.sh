#!/bin/bash
# tss2.sh KIND MODULE EXPORT - keys of other programs (tpm2-openssl, tpm2-tools) used by Signet, and keys of Signet's,
# exported by the program EXPORT, used by tpm2-openssl.
. "$(dirname "$0")/lib.bash"
export_tool=$(realpath "$3")
export TPM2OPENSSL_TCTI=$tcti TPM2TOOLS_TCTI=$tcti

# genpkey NAME OPTION... - a key by tpm2-openssl, in $dir/NAME.tpm
genpkey() {
	openssl genpkey -provider tpm2 -out "$dir/$1.tpm" "${@:2}"
}
# By the file that others read, not by what Signet shows of it.
public_key() {
	openssl pkey -provider tpm2 -provider default -in "$dir/$1.tpm" -passin "pass:${2-}" -pubout -out "$dir/$1.pem"
}
# The id of the public key with that label.
id_of() {
	tool --list-objects --type pubkey | sed -n "/^ *label: *$1\$/,/^ *ID:/s/^ *ID: *//p"
}
# sign LABEL MECHANISM - pkcs11-tool signs the message with the key's id: it has no other way to name a key.
sign() {
	tool --login --pin "$pin" --sign --id "$(id_of "$1")" --mechanism "$2" --signature-format openssl \
		--input-file "$dir/message" --output-file "$dir/sig"
}
verify() {
	openssl dgst "-$2" "${@:3}" -verify "$dir/$1.pem" -signature "$dir/sig" "$dir/message"
}
# The key's own password is asked for by a context-specific login, which pkcs11-tool answers with the token's PIN.
sign_verify() {
	public_key "$1" "${4-}" && sign "$1" "$2" && verify "$1" "$3" "${@:5}"
}

persistent() {
	tpm2_createprimary -Q -C o -c "$dir/primary" &&
		tpm2_create -Q -C "$dir/primary" -G ecc384 -u "$dir/u" -r "$dir/r" &&
		tpm2_flushcontext -t && tpm2_load -Q -C "$dir/primary" -u "$dir/u" -r "$dir/r" -c "$dir/key" &&
		tpm2_evictcontrol -Q -C o -c "$dir/key" 0x81010001 && tpm2_flushcontext -t &&
		tpm2_readpublic -Q -c 0x81010001 -f pem -o "$dir/0x81010001.pem"
}
below_persistent() {
	openssl genpkey -provider tpm2 -out "$dir/below.tpm" -algorithm EC -pkeyopt group:P-256 -pkeyopt parent:0x81000001
}

# export_key LABEL OPTION...
export_key() {
	echo "$pin" >"$dir/pin"
	"$export_tool" --module "$module" --label "$1" --pin-file "$dir/pin" "${@:2}" >"$dir/out.tpm"
}
# openssl_sign PASSWORD - tpm2-openssl signs with the exported file.
openssl_sign() {
	openssl pkeyutl -provider tpm2 -provider default -propquery '?provider=tpm2' -sign -inkey "$dir/out.tpm" \
		-passin "pass:$1" -rawin -digest sha256 -in "$dir/message" -out "$dir/sig"
}
refused() {
	! openssl_sign "$1"
}
# openssl_signs LABEL PASSWORD - and the signature is one of that key.
openssl_signs() {
	p11tool --provider "$module" --export --outfile "$dir/own.pem" "pkcs11:token=$label;object=$1;type=public" &&
		openssl_sign "$2" &&
		openssl dgst -sha256 -verify "$dir/own.pem" -signature "$dir/sig" "$dir/message"
}
readopted() {
	mv "$dir/out.tpm" "$dir/back.tpm" && sign back SHA256-RSA-PKCS &&
		openssl dgst -sha256 -verify "$dir/own.pem" -signature "$dir/sig" "$dir/message"
}

echo 'a message' >"$dir/message"
check 'EC key by tpm2-openssl' genpkey ec -algorithm EC -pkeyopt group:P-256
check 'RSA key by tpm2-openssl' genpkey rsa -algorithm RSA -pkeyopt bits:2048
check 'EC key with a password by tpm2-openssl' genpkey locked -algorithm EC -pkeyopt group:P-384 -pkeyopt "user-auth:$pin"
check 'persistent key by tpm2-tools' persistent
printf 'keys = %s\npersistent = 0x81010001\n' "$dir/ec.tpm, $dir/rsa.tpm $dir/locked.tpm $dir/below.tpm $dir/back.tpm" \
	>>"$dir/signet.conf"
check 'initialize' initialize
check 'EC key below a persistent one by tpm2-openssl' below_persistent
check 'Signet: ECDSA with the EC key' sign_verify ec ECDSA-SHA256 sha256
check 'Signet: PKCS#1 with the RSA key' sign_verify rsa SHA256-RSA-PKCS sha256
check 'Signet: another hash' sign_verify rsa SHA512-RSA-PKCS sha512
check 'Signet: PSS' sign_verify rsa SHA384-RSA-PKCS-PSS sha384 '' -sigopt rsa_padding_mode:pss
check 'Signet: below a persistent key' sign_verify below ECDSA-SHA256 sha256
check 'Signet: the key with a password' sign_verify locked ECDSA-SHA384 sha384 "$pin"
check 'Signet: the persistent key signs' sign 0x81010001 ECDSA-SHA384
check 'and the signature is right' verify 0x81010001 sha384
not_deleted() {
	! tool --login --pin "$pin" --delete-object --type privkey --label ec && sign ec ECDSA-SHA256
}
check 'keys of others are not deleted' not_deleted
check 'key pairs by Signet' tool --login --pin "$pin" --keypairgen --key-type EC:prime256v1 --id 01 --label own-ec
check 'of RSA, too' tool --login --pin "$pin" --keypairgen --key-type rsa:2048 --id 02 --label own-rsa
echo 'a password' >"$dir/password"
check 'export the EC key' export_key own-ec --auth-file "$dir/password"
check 'tpm2-openssl signs with it' openssl_signs own-ec 'a password'
check 'not with a wrong password' refused wrong
check 'export the RSA key without one' export_key own-rsa --no-auth
check 'tpm2-openssl signs with that' openssl_signs own-rsa ''
check 'Signet takes its own file back' readopted
check 'no such key' bash -c "! '$export_tool' --module '$module' --label nothing --pin-file '$dir/pin' --no-auth"
check 'TPM is clean' tpm_is_clean
done_checking
