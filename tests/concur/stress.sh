#!/bin/bash
# stress.sh KIND MODULE STRESS [ROUNDS] - runs the stress program on a private token of that kind.
. "$(dirname "$0")/../interop/lib.bash"
"$3" "$module" "${4:-40}"
check 'TPM is clean' tpm_is_clean
done_checking
