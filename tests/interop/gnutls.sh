#!/bin/bash
# gnutls.sh KIND MODULE - p11tool (GnuTLS).
. "$(dirname "$0")/lib.bash"
export GNUTLS_PIN=$pin GNUTLS_SO_PIN=$so_pin

p11() {
	p11tool --provider "$module" --batch "$@"
}
lists() {
	p11 --login --list-all "pkcs11:token=$label" >"$dir/out" || return 1
	cat "$dir/out"
	grep -q "object=$1" "$dir/out"
}

check 'initialize' initialize
check '--list-tokens' p11 --list-tokens
check '--generate-ecc' p11 --login --generate-ecc --curve secp256r1 --label gec --outfile "$dir/ec.pub" "pkcs11:token=$label"
check '--generate-rsa' p11 --login --generate-rsa --bits 2048 --label grsa --outfile "$dir/rsa.pub" "pkcs11:token=$label"
check 'the EC key is listed' lists gec
check 'the RSA key is listed' lists grsa
check '--test-sign EC' p11 --login --test-sign "pkcs11:token=$label;object=gec;type=private"
check '--test-sign RSA' p11 --login --test-sign "pkcs11:token=$label;object=grsa;type=private"
check 'the public key is one' openssl pkey -pubin -in "$dir/ec.pub" -noout
check '--list-all' p11 --list-all
check '--list-mechanisms' p11 --list-mechanisms "pkcs11:token=$label"
check 'TPM is clean' tpm_is_clean
done_checking
