/* The Cryptoki header: p11-kit's (2.40, in newer releases 3.x) and, below, what PKCS#11 3.0 to 3.2 add and the
 * packaged one lacks.  Not NSS's: its CK_C_INITIALIZE_ARGS has one more field, so C_Initialize would read past the
 * caller's.  The assertions at the end guard every struct that crosses the interface. */
#ifndef BASE_CRYPTOKI_H
#define BASE_CRYPTOKI_H

#include <stddef.h>

/* The C_ functions, and nothing else, are what the module exports: everything else is built with hidden visibility. */
#pragma GCC visibility push(default)

#include <p11-kit/pkcs11.h>

/* Constants of 2.40 to 3.2 that Debian 12's header lacks. */
#ifndef CKM_AES_KEY_WRAP
#define CKM_AES_KEY_WRAP 0x00002109UL
#endif
#ifndef CKM_AES_KEY_WRAP_KWP
#define CKM_AES_KEY_WRAP_KWP 0x0000210bUL
#endif
#ifndef CKF_ERROR_STATE
#define CKF_ERROR_STATE 0x01000000UL
#endif
#ifndef CKF_EC_F_2M
#define CKF_EC_F_2M 0x00200000UL
#endif
#ifndef CKF_EC_ECPARAMETERS
#define CKF_EC_ECPARAMETERS 0x00400000UL
#endif
#ifndef CKO_PROFILE
#define CKO_PROFILE 0x00000009UL
#endif
#ifndef CKP_INVALID_ID
#define CKP_INVALID_ID 0x00000000UL
#endif
#ifndef CKP_BASELINE_PROVIDER
#define CKP_BASELINE_PROVIDER 0x00000001UL
#endif
#ifndef CKP_EXTENDED_PROVIDER
#define CKP_EXTENDED_PROVIDER 0x00000002UL
#endif
#ifndef CKP_AUTHENTICATION_TOKEN
#define CKP_AUTHENTICATION_TOKEN 0x00000003UL
#endif
#ifndef CKP_PUBLIC_CERTIFICATES_TOKEN
#define CKP_PUBLIC_CERTIFICATES_TOKEN 0x00000004UL
#endif
#ifndef CKP_VENDOR_DEFINED
#define CKP_VENDOR_DEFINED 0x80000000UL
#endif
#ifndef CKA_UNIQUE_ID
#define CKA_UNIQUE_ID 0x00000004UL
#endif
#ifndef CKA_PROFILE_ID
#define CKA_PROFILE_ID 0x00000601UL
#endif
#ifndef CKF_MESSAGE_ENCRYPT
#define CKF_MESSAGE_ENCRYPT 0x00000002UL
#endif
#ifndef CKF_MESSAGE_DECRYPT
#define CKF_MESSAGE_DECRYPT 0x00000004UL
#endif
#ifndef CKF_MESSAGE_SIGN
#define CKF_MESSAGE_SIGN 0x00000008UL
#endif
#ifndef CKF_MESSAGE_VERIFY
#define CKF_MESSAGE_VERIFY 0x00000010UL
#endif
#ifndef CKF_FIND_OBJECTS
#define CKF_FIND_OBJECTS 0x00000040UL
#endif
#ifndef CKF_EC_OID
#define CKF_EC_OID 0x00800000UL
#endif
#ifndef CKF_EC_CURVENAME
#define CKF_EC_CURVENAME 0x04000000UL
#endif
#ifndef CKR_AEAD_DECRYPT_FAILED
#define CKR_AEAD_DECRYPT_FAILED 0x00000042UL
#endif
#ifndef CKR_TOKEN_RESOURCE_EXCEEDED
#define CKR_TOKEN_RESOURCE_EXCEEDED 0x00000201UL
#endif
#ifndef CKR_OPERATION_CANCEL_FAILED
#define CKR_OPERATION_CANCEL_FAILED 0x00000202UL
#endif
#ifndef CKF_END_OF_MESSAGE
#define CKF_END_OF_MESSAGE 0x00000001UL
#endif
#ifndef CKF_INTERFACE_FORK_SAFE
#define CKF_INTERFACE_FORK_SAFE 0x00000001UL
#endif
#ifndef CKP_COMPLETE_PROVIDER
#define CKP_COMPLETE_PROVIDER 0x00000005UL
#endif
#ifndef CKR_KEY_EXHAUSTED
#define CKR_KEY_EXHAUSTED 0x00000203UL
#endif
#ifndef CKF_SEED_RANDOM_REQUIRED
#define CKF_SEED_RANDOM_REQUIRED 0x02000000UL
#endif
#ifndef CKF_ASYNC_SESSION_SUPPORTED
#define CKF_ASYNC_SESSION_SUPPORTED 0x04000000UL
#endif
#ifndef CKF_ASYNC_SESSION
#define CKF_ASYNC_SESSION 0x00000008UL
#endif
#ifndef CKO_VALIDATION
#define CKO_VALIDATION 0x0000000aUL
#endif
#ifndef CKO_TRUST
#define CKO_TRUST 0x0000000bUL
#endif
#ifndef CKA_PARAMETER_SET
#define CKA_PARAMETER_SET 0x0000061dUL
#endif
#ifndef CKA_OBJECT_VALIDATION_FLAGS
#define CKA_OBJECT_VALIDATION_FLAGS 0x0000061eUL
#endif
#ifndef CKA_ENCAPSULATE_TEMPLATE
#define CKA_ENCAPSULATE_TEMPLATE 0x0000062aUL
#endif
#ifndef CKA_DECAPSULATE_TEMPLATE
#define CKA_DECAPSULATE_TEMPLATE 0x0000062bUL
#endif
#ifndef CKA_ENCAPSULATE
#define CKA_ENCAPSULATE 0x00000633UL
#endif
#ifndef CKA_DECAPSULATE
#define CKA_DECAPSULATE 0x00000634UL
#endif
#ifndef CKA_HASH_OF_CERTIFICATE
#define CKA_HASH_OF_CERTIFICATE 0x00000635UL
#endif
#ifndef CKA_PUBLIC_CRC64_VALUE
#define CKA_PUBLIC_CRC64_VALUE 0x00000636UL
#endif
#ifndef CKA_SEED
#define CKA_SEED 0x00000637UL
#endif
#ifndef CKF_ENCAPSULATE
#define CKF_ENCAPSULATE 0x10000000UL
#endif
#ifndef CKF_DECAPSULATE
#define CKF_DECAPSULATE 0x20000000UL
#endif
#ifndef CKR_PENDING
#define CKR_PENDING 0x00000204UL
#endif
#ifndef CKR_SESSION_ASYNC_NOT_SUPPORTED
#define CKR_SESSION_ASYNC_NOT_SUPPORTED 0x00000205UL
#endif
#ifndef CKR_SEED_RANDOM_REQUIRED
#define CKR_SEED_RANDOM_REQUIRED 0x00000206UL
#endif
#ifndef CKR_OPERATION_NOT_VALIDATED
#define CKR_OPERATION_NOT_VALIDATED 0x00000207UL
#endif
#ifndef CKR_TOKEN_NOT_INITIALIZED
#define CKR_TOKEN_NOT_INITIALIZED 0x00000208UL
#endif
#ifndef CKR_PARAMETER_SET_NOT_SUPPORTED
#define CKR_PARAMETER_SET_NOT_SUPPORTED 0x00000209UL
#endif
#ifndef CKS_LAST_VALIDATION_OK
#define CKS_LAST_VALIDATION_OK 0x00000001UL
#endif

typedef CK_FLAGS *CK_FLAGS_PTR;

/* What 3.0 adds: in p11-kit's header since 0.25. */
#if CRYPTOKI_VERSION_MAJOR < 3
/* Section 3.6 */
typedef struct CK_INTERFACE {
	CK_UTF8CHAR_PTR pInterfaceName;
	void *pFunctionList;
	CK_FLAGS flags;
} CK_INTERFACE;
typedef CK_INTERFACE *CK_INTERFACE_PTR;
typedef CK_INTERFACE_PTR *CK_INTERFACE_PTR_PTR;

typedef CK_ULONG CK_PROFILE_ID;

typedef CK_RV (*CK_C_GetInterfaceList)(CK_INTERFACE_PTR interfaces, CK_ULONG_PTR count);
CK_RV C_GetInterfaceList(CK_INTERFACE_PTR interfaces, CK_ULONG_PTR count);
typedef CK_RV (*CK_C_GetInterface)(CK_UTF8CHAR_PTR name, CK_VERSION_PTR version, CK_INTERFACE_PTR_PTR
	interface, CK_FLAGS flags);
CK_RV C_GetInterface(CK_UTF8CHAR_PTR name, CK_VERSION_PTR version, CK_INTERFACE_PTR_PTR interface, CK_FLAGS
	flags);
typedef CK_RV (*CK_C_LoginUser)(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_UTF8CHAR_PTR pin, CK_ULONG
	pin_len, CK_UTF8CHAR_PTR username, CK_ULONG username_len);
CK_RV C_LoginUser(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_UTF8CHAR_PTR pin, CK_ULONG pin_len,
	CK_UTF8CHAR_PTR username, CK_ULONG username_len);
typedef CK_RV (*CK_C_SessionCancel)(CK_SESSION_HANDLE session, CK_FLAGS flags);
CK_RV C_SessionCancel(CK_SESSION_HANDLE session, CK_FLAGS flags);
typedef CK_RV (*CK_C_MessageEncryptInit)(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism,
	CK_OBJECT_HANDLE key);
CK_RV C_MessageEncryptInit(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key);
typedef CK_RV (*CK_C_EncryptMessage)(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len,
	CK_BYTE_PTR aad, CK_ULONG aad_len, CK_BYTE_PTR in, CK_ULONG in_len, CK_BYTE_PTR out, CK_ULONG_PTR out_len);
CK_RV C_EncryptMessage(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len, CK_BYTE_PTR aad,
	CK_ULONG aad_len, CK_BYTE_PTR in, CK_ULONG in_len, CK_BYTE_PTR out, CK_ULONG_PTR out_len);
typedef CK_RV (*CK_C_EncryptMessageBegin)(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len,
	CK_BYTE_PTR aad, CK_ULONG aad_len);
CK_RV C_EncryptMessageBegin(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len, CK_BYTE_PTR
	aad, CK_ULONG aad_len);
typedef CK_RV (*CK_C_EncryptMessageNext)(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len,
	CK_BYTE_PTR in, CK_ULONG in_len, CK_BYTE_PTR out, CK_ULONG_PTR out_len, CK_FLAGS flags);
CK_RV C_EncryptMessageNext(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len, CK_BYTE_PTR in,
	CK_ULONG in_len, CK_BYTE_PTR out, CK_ULONG_PTR out_len, CK_FLAGS flags);
typedef CK_RV (*CK_C_MessageEncryptFinal)(CK_SESSION_HANDLE session);
CK_RV C_MessageEncryptFinal(CK_SESSION_HANDLE session);
typedef CK_RV (*CK_C_MessageDecryptInit)(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism,
	CK_OBJECT_HANDLE key);
CK_RV C_MessageDecryptInit(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key);
typedef CK_RV (*CK_C_DecryptMessage)(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len,
	CK_BYTE_PTR aad, CK_ULONG aad_len, CK_BYTE_PTR in, CK_ULONG in_len, CK_BYTE_PTR out, CK_ULONG_PTR out_len);
CK_RV C_DecryptMessage(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len, CK_BYTE_PTR aad,
	CK_ULONG aad_len, CK_BYTE_PTR in, CK_ULONG in_len, CK_BYTE_PTR out, CK_ULONG_PTR out_len);
typedef CK_RV (*CK_C_DecryptMessageBegin)(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len,
	CK_BYTE_PTR aad, CK_ULONG aad_len);
CK_RV C_DecryptMessageBegin(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len, CK_BYTE_PTR
	aad, CK_ULONG aad_len);
typedef CK_RV (*CK_C_DecryptMessageNext)(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len,
	CK_BYTE_PTR in, CK_ULONG in_len, CK_BYTE_PTR out, CK_ULONG_PTR out_len, CK_FLAGS flags);
CK_RV C_DecryptMessageNext(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len, CK_BYTE_PTR in,
	CK_ULONG in_len, CK_BYTE_PTR out, CK_ULONG_PTR out_len, CK_FLAGS flags);
typedef CK_RV (*CK_C_MessageDecryptFinal)(CK_SESSION_HANDLE session);
CK_RV C_MessageDecryptFinal(CK_SESSION_HANDLE session);
typedef CK_RV (*CK_C_MessageSignInit)(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE
	key);
CK_RV C_MessageSignInit(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key);
typedef CK_RV (*CK_C_SignMessage)(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len,
	CK_BYTE_PTR in, CK_ULONG in_len, CK_BYTE_PTR signature, CK_ULONG_PTR signature_len);
CK_RV C_SignMessage(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len, CK_BYTE_PTR in,
	CK_ULONG in_len, CK_BYTE_PTR signature, CK_ULONG_PTR signature_len);
typedef CK_RV (*CK_C_SignMessageBegin)(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len);
CK_RV C_SignMessageBegin(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len);
typedef CK_RV (*CK_C_SignMessageNext)(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len,
	CK_BYTE_PTR in, CK_ULONG in_len, CK_BYTE_PTR signature, CK_ULONG_PTR signature_len);
CK_RV C_SignMessageNext(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len, CK_BYTE_PTR in,
	CK_ULONG in_len, CK_BYTE_PTR signature, CK_ULONG_PTR signature_len);
typedef CK_RV (*CK_C_MessageSignFinal)(CK_SESSION_HANDLE session);
CK_RV C_MessageSignFinal(CK_SESSION_HANDLE session);
typedef CK_RV (*CK_C_MessageVerifyInit)(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism,
	CK_OBJECT_HANDLE key);
CK_RV C_MessageVerifyInit(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key);
typedef CK_RV (*CK_C_VerifyMessage)(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len,
	CK_BYTE_PTR in, CK_ULONG in_len, CK_BYTE_PTR signature, CK_ULONG signature_len);
CK_RV C_VerifyMessage(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len, CK_BYTE_PTR in,
	CK_ULONG in_len, CK_BYTE_PTR signature, CK_ULONG signature_len);
typedef CK_RV (*CK_C_VerifyMessageBegin)(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len);
CK_RV C_VerifyMessageBegin(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len);
typedef CK_RV (*CK_C_VerifyMessageNext)(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len,
	CK_BYTE_PTR in, CK_ULONG in_len, CK_BYTE_PTR signature, CK_ULONG signature_len);
CK_RV C_VerifyMessageNext(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len, CK_BYTE_PTR in,
	CK_ULONG in_len, CK_BYTE_PTR signature, CK_ULONG signature_len);
typedef CK_RV (*CK_C_MessageVerifyFinal)(CK_SESSION_HANDLE session);
CK_RV C_MessageVerifyFinal(CK_SESSION_HANDLE session);

typedef struct CK_FUNCTION_LIST_3_0 {
	CK_VERSION version;
	CK_C_Initialize C_Initialize;
	CK_C_Finalize C_Finalize;
	CK_C_GetInfo C_GetInfo;
	CK_C_GetFunctionList C_GetFunctionList;
	CK_C_GetSlotList C_GetSlotList;
	CK_C_GetSlotInfo C_GetSlotInfo;
	CK_C_GetTokenInfo C_GetTokenInfo;
	CK_C_GetMechanismList C_GetMechanismList;
	CK_C_GetMechanismInfo C_GetMechanismInfo;
	CK_C_InitToken C_InitToken;
	CK_C_InitPIN C_InitPIN;
	CK_C_SetPIN C_SetPIN;
	CK_C_OpenSession C_OpenSession;
	CK_C_CloseSession C_CloseSession;
	CK_C_CloseAllSessions C_CloseAllSessions;
	CK_C_GetSessionInfo C_GetSessionInfo;
	CK_C_GetOperationState C_GetOperationState;
	CK_C_SetOperationState C_SetOperationState;
	CK_C_Login C_Login;
	CK_C_Logout C_Logout;
	CK_C_CreateObject C_CreateObject;
	CK_C_CopyObject C_CopyObject;
	CK_C_DestroyObject C_DestroyObject;
	CK_C_GetObjectSize C_GetObjectSize;
	CK_C_GetAttributeValue C_GetAttributeValue;
	CK_C_SetAttributeValue C_SetAttributeValue;
	CK_C_FindObjectsInit C_FindObjectsInit;
	CK_C_FindObjects C_FindObjects;
	CK_C_FindObjectsFinal C_FindObjectsFinal;
	CK_C_EncryptInit C_EncryptInit;
	CK_C_Encrypt C_Encrypt;
	CK_C_EncryptUpdate C_EncryptUpdate;
	CK_C_EncryptFinal C_EncryptFinal;
	CK_C_DecryptInit C_DecryptInit;
	CK_C_Decrypt C_Decrypt;
	CK_C_DecryptUpdate C_DecryptUpdate;
	CK_C_DecryptFinal C_DecryptFinal;
	CK_C_DigestInit C_DigestInit;
	CK_C_Digest C_Digest;
	CK_C_DigestUpdate C_DigestUpdate;
	CK_C_DigestKey C_DigestKey;
	CK_C_DigestFinal C_DigestFinal;
	CK_C_SignInit C_SignInit;
	CK_C_Sign C_Sign;
	CK_C_SignUpdate C_SignUpdate;
	CK_C_SignFinal C_SignFinal;
	CK_C_SignRecoverInit C_SignRecoverInit;
	CK_C_SignRecover C_SignRecover;
	CK_C_VerifyInit C_VerifyInit;
	CK_C_Verify C_Verify;
	CK_C_VerifyUpdate C_VerifyUpdate;
	CK_C_VerifyFinal C_VerifyFinal;
	CK_C_VerifyRecoverInit C_VerifyRecoverInit;
	CK_C_VerifyRecover C_VerifyRecover;
	CK_C_DigestEncryptUpdate C_DigestEncryptUpdate;
	CK_C_DecryptDigestUpdate C_DecryptDigestUpdate;
	CK_C_SignEncryptUpdate C_SignEncryptUpdate;
	CK_C_DecryptVerifyUpdate C_DecryptVerifyUpdate;
	CK_C_GenerateKey C_GenerateKey;
	CK_C_GenerateKeyPair C_GenerateKeyPair;
	CK_C_WrapKey C_WrapKey;
	CK_C_UnwrapKey C_UnwrapKey;
	CK_C_DeriveKey C_DeriveKey;
	CK_C_SeedRandom C_SeedRandom;
	CK_C_GenerateRandom C_GenerateRandom;
	CK_C_GetFunctionStatus C_GetFunctionStatus;
	CK_C_CancelFunction C_CancelFunction;
	CK_C_WaitForSlotEvent C_WaitForSlotEvent;
	CK_C_GetInterfaceList C_GetInterfaceList;
	CK_C_GetInterface C_GetInterface;
	CK_C_LoginUser C_LoginUser;
	CK_C_SessionCancel C_SessionCancel;
	CK_C_MessageEncryptInit C_MessageEncryptInit;
	CK_C_EncryptMessage C_EncryptMessage;
	CK_C_EncryptMessageBegin C_EncryptMessageBegin;
	CK_C_EncryptMessageNext C_EncryptMessageNext;
	CK_C_MessageEncryptFinal C_MessageEncryptFinal;
	CK_C_MessageDecryptInit C_MessageDecryptInit;
	CK_C_DecryptMessage C_DecryptMessage;
	CK_C_DecryptMessageBegin C_DecryptMessageBegin;
	CK_C_DecryptMessageNext C_DecryptMessageNext;
	CK_C_MessageDecryptFinal C_MessageDecryptFinal;
	CK_C_MessageSignInit C_MessageSignInit;
	CK_C_SignMessage C_SignMessage;
	CK_C_SignMessageBegin C_SignMessageBegin;
	CK_C_SignMessageNext C_SignMessageNext;
	CK_C_MessageSignFinal C_MessageSignFinal;
	CK_C_MessageVerifyInit C_MessageVerifyInit;
	CK_C_VerifyMessage C_VerifyMessage;
	CK_C_VerifyMessageBegin C_VerifyMessageBegin;
	CK_C_VerifyMessageNext C_VerifyMessageNext;
	CK_C_MessageVerifyFinal C_MessageVerifyFinal;
} CK_FUNCTION_LIST_3_0;
#endif

/* 3.0, section 6.3.14; p11-kit's 3.0 lacks it. */
typedef struct CK_EDDSA_PARAMS {
	CK_BBOOL phFlag;
	CK_ULONG ulContextDataLen;
	CK_BYTE_PTR pContextData;
} CK_EDDSA_PARAMS;

/* What 3.2 adds. */
#if CRYPTOKI_VERSION_MAJOR < 3 || (CRYPTOKI_VERSION_MAJOR == 3 && CRYPTOKI_VERSION_MINOR < 2)
/* Sections 3.6 and 5.21 */
typedef CK_ULONG CK_SESSION_VALIDATION_FLAGS_TYPE;
typedef struct CK_ASYNC_DATA {
	CK_ULONG ulVersion;
	CK_BYTE_PTR pValue;
	CK_ULONG ulValue;
	CK_OBJECT_HANDLE hObject;
	CK_OBJECT_HANDLE hAdditionalObject;
} CK_ASYNC_DATA;
typedef CK_ASYNC_DATA *CK_ASYNC_DATA_PTR;

typedef CK_RV (*CK_C_EncapsulateKey)(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE
	public_key, CK_ATTRIBUTE_PTR templ, CK_ULONG count, CK_BYTE_PTR ciphertext, CK_ULONG_PTR ciphertext_len,
	CK_OBJECT_HANDLE_PTR key);
CK_RV C_EncapsulateKey(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE public_key,
	CK_ATTRIBUTE_PTR templ, CK_ULONG count, CK_BYTE_PTR ciphertext, CK_ULONG_PTR ciphertext_len,
	CK_OBJECT_HANDLE_PTR key);
typedef CK_RV (*CK_C_DecapsulateKey)(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE
	private_key, CK_ATTRIBUTE_PTR templ, CK_ULONG count, CK_BYTE_PTR ciphertext, CK_ULONG ciphertext_len,
	CK_OBJECT_HANDLE_PTR key);
CK_RV C_DecapsulateKey(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE private_key,
	CK_ATTRIBUTE_PTR templ, CK_ULONG count, CK_BYTE_PTR ciphertext, CK_ULONG ciphertext_len, CK_OBJECT_HANDLE_PTR
	key);
typedef CK_RV (*CK_C_VerifySignatureInit)(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism,
	CK_OBJECT_HANDLE key, CK_BYTE_PTR signature, CK_ULONG signature_len);
CK_RV C_VerifySignatureInit(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key,
	CK_BYTE_PTR signature, CK_ULONG signature_len);
typedef CK_RV (*CK_C_VerifySignature)(CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG data_len);
CK_RV C_VerifySignature(CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG data_len);
typedef CK_RV (*CK_C_VerifySignatureUpdate)(CK_SESSION_HANDLE session, CK_BYTE_PTR part, CK_ULONG part_len);
CK_RV C_VerifySignatureUpdate(CK_SESSION_HANDLE session, CK_BYTE_PTR part, CK_ULONG part_len);
typedef CK_RV (*CK_C_VerifySignatureFinal)(CK_SESSION_HANDLE session);
CK_RV C_VerifySignatureFinal(CK_SESSION_HANDLE session);
typedef CK_RV (*CK_C_GetSessionValidationFlags)(CK_SESSION_HANDLE session, CK_SESSION_VALIDATION_FLAGS_TYPE
	type, CK_FLAGS_PTR flags);
CK_RV C_GetSessionValidationFlags(CK_SESSION_HANDLE session, CK_SESSION_VALIDATION_FLAGS_TYPE type,
	CK_FLAGS_PTR flags);
typedef CK_RV (*CK_C_AsyncComplete)(CK_SESSION_HANDLE session, CK_UTF8CHAR_PTR function, CK_ASYNC_DATA_PTR
	result);
CK_RV C_AsyncComplete(CK_SESSION_HANDLE session, CK_UTF8CHAR_PTR function, CK_ASYNC_DATA_PTR result);
typedef CK_RV (*CK_C_AsyncGetID)(CK_SESSION_HANDLE session, CK_UTF8CHAR_PTR function, CK_ULONG_PTR id);
CK_RV C_AsyncGetID(CK_SESSION_HANDLE session, CK_UTF8CHAR_PTR function, CK_ULONG_PTR id);
typedef CK_RV (*CK_C_AsyncJoin)(CK_SESSION_HANDLE session, CK_UTF8CHAR_PTR function, CK_ULONG id, CK_BYTE_PTR
	data, CK_ULONG data_len);
CK_RV C_AsyncJoin(CK_SESSION_HANDLE session, CK_UTF8CHAR_PTR function, CK_ULONG id, CK_BYTE_PTR data, CK_ULONG
	data_len);
typedef CK_RV (*CK_C_WrapKeyAuthenticated)(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism,
	CK_OBJECT_HANDLE wrapping_key, CK_OBJECT_HANDLE key, CK_BYTE_PTR aad, CK_ULONG aad_len, CK_BYTE_PTR wrapped,
	CK_ULONG_PTR wrapped_len);
CK_RV C_WrapKeyAuthenticated(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE
	wrapping_key, CK_OBJECT_HANDLE key, CK_BYTE_PTR aad, CK_ULONG aad_len, CK_BYTE_PTR wrapped, CK_ULONG_PTR
	wrapped_len);
typedef CK_RV (*CK_C_UnwrapKeyAuthenticated)(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism,
	CK_OBJECT_HANDLE unwrapping_key, CK_BYTE_PTR wrapped, CK_ULONG wrapped_len, CK_ATTRIBUTE_PTR templ, CK_ULONG
	count, CK_BYTE_PTR aad, CK_ULONG aad_len, CK_OBJECT_HANDLE_PTR key);
CK_RV C_UnwrapKeyAuthenticated(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE
	unwrapping_key, CK_BYTE_PTR wrapped, CK_ULONG wrapped_len, CK_ATTRIBUTE_PTR templ, CK_ULONG count,
	CK_BYTE_PTR aad, CK_ULONG aad_len, CK_OBJECT_HANDLE_PTR key);

typedef struct CK_FUNCTION_LIST_3_2 {
	CK_VERSION version;
	CK_C_Initialize C_Initialize;
	CK_C_Finalize C_Finalize;
	CK_C_GetInfo C_GetInfo;
	CK_C_GetFunctionList C_GetFunctionList;
	CK_C_GetSlotList C_GetSlotList;
	CK_C_GetSlotInfo C_GetSlotInfo;
	CK_C_GetTokenInfo C_GetTokenInfo;
	CK_C_GetMechanismList C_GetMechanismList;
	CK_C_GetMechanismInfo C_GetMechanismInfo;
	CK_C_InitToken C_InitToken;
	CK_C_InitPIN C_InitPIN;
	CK_C_SetPIN C_SetPIN;
	CK_C_OpenSession C_OpenSession;
	CK_C_CloseSession C_CloseSession;
	CK_C_CloseAllSessions C_CloseAllSessions;
	CK_C_GetSessionInfo C_GetSessionInfo;
	CK_C_GetOperationState C_GetOperationState;
	CK_C_SetOperationState C_SetOperationState;
	CK_C_Login C_Login;
	CK_C_Logout C_Logout;
	CK_C_CreateObject C_CreateObject;
	CK_C_CopyObject C_CopyObject;
	CK_C_DestroyObject C_DestroyObject;
	CK_C_GetObjectSize C_GetObjectSize;
	CK_C_GetAttributeValue C_GetAttributeValue;
	CK_C_SetAttributeValue C_SetAttributeValue;
	CK_C_FindObjectsInit C_FindObjectsInit;
	CK_C_FindObjects C_FindObjects;
	CK_C_FindObjectsFinal C_FindObjectsFinal;
	CK_C_EncryptInit C_EncryptInit;
	CK_C_Encrypt C_Encrypt;
	CK_C_EncryptUpdate C_EncryptUpdate;
	CK_C_EncryptFinal C_EncryptFinal;
	CK_C_DecryptInit C_DecryptInit;
	CK_C_Decrypt C_Decrypt;
	CK_C_DecryptUpdate C_DecryptUpdate;
	CK_C_DecryptFinal C_DecryptFinal;
	CK_C_DigestInit C_DigestInit;
	CK_C_Digest C_Digest;
	CK_C_DigestUpdate C_DigestUpdate;
	CK_C_DigestKey C_DigestKey;
	CK_C_DigestFinal C_DigestFinal;
	CK_C_SignInit C_SignInit;
	CK_C_Sign C_Sign;
	CK_C_SignUpdate C_SignUpdate;
	CK_C_SignFinal C_SignFinal;
	CK_C_SignRecoverInit C_SignRecoverInit;
	CK_C_SignRecover C_SignRecover;
	CK_C_VerifyInit C_VerifyInit;
	CK_C_Verify C_Verify;
	CK_C_VerifyUpdate C_VerifyUpdate;
	CK_C_VerifyFinal C_VerifyFinal;
	CK_C_VerifyRecoverInit C_VerifyRecoverInit;
	CK_C_VerifyRecover C_VerifyRecover;
	CK_C_DigestEncryptUpdate C_DigestEncryptUpdate;
	CK_C_DecryptDigestUpdate C_DecryptDigestUpdate;
	CK_C_SignEncryptUpdate C_SignEncryptUpdate;
	CK_C_DecryptVerifyUpdate C_DecryptVerifyUpdate;
	CK_C_GenerateKey C_GenerateKey;
	CK_C_GenerateKeyPair C_GenerateKeyPair;
	CK_C_WrapKey C_WrapKey;
	CK_C_UnwrapKey C_UnwrapKey;
	CK_C_DeriveKey C_DeriveKey;
	CK_C_SeedRandom C_SeedRandom;
	CK_C_GenerateRandom C_GenerateRandom;
	CK_C_GetFunctionStatus C_GetFunctionStatus;
	CK_C_CancelFunction C_CancelFunction;
	CK_C_WaitForSlotEvent C_WaitForSlotEvent;
	CK_C_GetInterfaceList C_GetInterfaceList;
	CK_C_GetInterface C_GetInterface;
	CK_C_LoginUser C_LoginUser;
	CK_C_SessionCancel C_SessionCancel;
	CK_C_MessageEncryptInit C_MessageEncryptInit;
	CK_C_EncryptMessage C_EncryptMessage;
	CK_C_EncryptMessageBegin C_EncryptMessageBegin;
	CK_C_EncryptMessageNext C_EncryptMessageNext;
	CK_C_MessageEncryptFinal C_MessageEncryptFinal;
	CK_C_MessageDecryptInit C_MessageDecryptInit;
	CK_C_DecryptMessage C_DecryptMessage;
	CK_C_DecryptMessageBegin C_DecryptMessageBegin;
	CK_C_DecryptMessageNext C_DecryptMessageNext;
	CK_C_MessageDecryptFinal C_MessageDecryptFinal;
	CK_C_MessageSignInit C_MessageSignInit;
	CK_C_SignMessage C_SignMessage;
	CK_C_SignMessageBegin C_SignMessageBegin;
	CK_C_SignMessageNext C_SignMessageNext;
	CK_C_MessageSignFinal C_MessageSignFinal;
	CK_C_MessageVerifyInit C_MessageVerifyInit;
	CK_C_VerifyMessage C_VerifyMessage;
	CK_C_VerifyMessageBegin C_VerifyMessageBegin;
	CK_C_VerifyMessageNext C_VerifyMessageNext;
	CK_C_MessageVerifyFinal C_MessageVerifyFinal;
	CK_C_EncapsulateKey C_EncapsulateKey;
	CK_C_DecapsulateKey C_DecapsulateKey;
	CK_C_VerifySignatureInit C_VerifySignatureInit;
	CK_C_VerifySignature C_VerifySignature;
	CK_C_VerifySignatureUpdate C_VerifySignatureUpdate;
	CK_C_VerifySignatureFinal C_VerifySignatureFinal;
	CK_C_GetSessionValidationFlags C_GetSessionValidationFlags;
	CK_C_AsyncComplete C_AsyncComplete;
	CK_C_AsyncGetID C_AsyncGetID;
	CK_C_AsyncJoin C_AsyncJoin;
	CK_C_WrapKeyAuthenticated C_WrapKeyAuthenticated;
	CK_C_UnwrapKeyAuthenticated C_UnwrapKeyAuthenticated;
} CK_FUNCTION_LIST_3_2;
#endif

#pragma GCC visibility pop

#define CRYPTOKI_LEGACY_FUNCTIONS 68
#define CRYPTOKI_3_0_FUNCTIONS 92
#define CRYPTOKI_3_2_FUNCTIONS 104

#ifdef __LP64__
_Static_assert(sizeof(CK_C_INITIALIZE_ARGS) == 48 && offsetof(CK_C_INITIALIZE_ARGS, pReserved) == 40,
	       "the standard's CK_C_INITIALIZE_ARGS, not NSS's");
_Static_assert(sizeof(CK_ATTRIBUTE) == 24 && offsetof(CK_ATTRIBUTE, ulValueLen) == 16, "natural alignment");
_Static_assert(sizeof(CK_MECHANISM) == 24 && sizeof(CK_MECHANISM_INFO) == 24, "natural alignment");
_Static_assert(sizeof(CK_INFO) == 88 && offsetof(CK_INFO, libraryDescription) == 48, "CK_INFO");
_Static_assert(sizeof(CK_SLOT_INFO) == 112 && offsetof(CK_SLOT_INFO, flags) == 96, "CK_SLOT_INFO");
_Static_assert(sizeof(CK_TOKEN_INFO) == 208 && offsetof(CK_TOKEN_INFO, flags) == 96, "CK_TOKEN_INFO");
_Static_assert(sizeof(CK_SESSION_INFO) == 32 && offsetof(CK_SESSION_INFO, ulDeviceError) == 24, "CK_SESSION_INFO");
_Static_assert(sizeof(CK_INTERFACE) == 24 && sizeof(CK_ASYNC_DATA) == 40, "3.x structs");
_Static_assert(sizeof(CK_RSA_PKCS_PSS_PARAMS) == 24 && sizeof(CK_RSA_PKCS_OAEP_PARAMS) == 40, "RSA parameters");
_Static_assert(sizeof(CK_AES_CTR_PARAMS) == 24 && sizeof(CK_GCM_PARAMS) == 48, "AES parameters");
_Static_assert(sizeof(CK_ECDH1_DERIVE_PARAMS) == 40, "EC parameters");
_Static_assert(sizeof(CK_EDDSA_PARAMS) == 24 && sizeof(CK_DATE) == 8, "parameters");
#endif
_Static_assert(sizeof(CK_FUNCTION_LIST) == (CRYPTOKI_LEGACY_FUNCTIONS + 1) * sizeof(void *), "68 functions");
_Static_assert(sizeof(CK_FUNCTION_LIST_3_0) == (CRYPTOKI_3_0_FUNCTIONS + 1) * sizeof(void *), "92 functions");
_Static_assert(sizeof(CK_FUNCTION_LIST_3_2) == (CRYPTOKI_3_2_FUNCTIONS + 1) * sizeof(void *), "104 functions");

#endif
