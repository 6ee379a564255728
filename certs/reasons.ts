// reasons.ts — every reason to refuse a peer's certificate, with the sentence that the command line and the log print.
//
// A code is never renamed or reused: policies, alerts and `fairlead cert verify --json` are built on them.

export const REASONS = {
  // The chain as a whole
  CHAIN_EMPTY: 'The peer presented no certificate.',
  CHAIN_TOO_LONG: 'The chain has more than 5 certificates.',
  CHAIN_TOO_LARGE: 'The chain has more than 16 KiB.',
  MALFORMED: 'A certificate is not X.509 in DER.',
  EXTENSION_DUPLICATE: 'A certificate carries the same extension twice.',
  EXTENSION_MALFORMED: 'An extension that must be understood cannot be read.',
  CRITICAL_EXTENSION_UNKNOWN: 'A certificate carries a critical extension that is not known here.',
  // The path to a root
  UNTRUSTED_ROOT: 'No root of the trust bundle signed the end of the chain.',
  NAME_CHAINING: 'The issuer named by a certificate is not the subject of the next one.',
  BAD_SIGNATURE: 'The signature of a certificate does not match the key of its issuer.',
  SIGNATURE_WEAK: 'A signature uses neither ECDSA or RSA with SHA-2 nor Ed25519.',
  KEY_WEAK: 'A key is none of EC P-256, EC P-384, Ed25519, RSA with at least 2048 bits.',
  EXPIRED: 'A certificate of the chain is past its end.',
  NOT_YET_VALID: 'The life of a certificate of the chain has not begun.',
  PATH_LENGTH: 'More intermediates stand below a signer than it allows.',
  NAME_CONSTRAINTS: 'A signer may not sign names like those of the leaf.',
  // Signing certificates
  SIGNER_NOT_CA: 'A certificate signed another although it is no CA.',
  SIGNER_KEY_USAGE: 'A signing certificate lacks the key usage keyCertSign.',
  SIGNER_EKU: 'A signing certificate is not for both TLS servers and clients.',
  SIGNER_ID_INVALID: 'The SPIFFE ID of a signing certificate is malformed or one of several.',
  SIGNER_ID_HAS_PATH: 'The SPIFFE ID of a signing certificate has a path.',
  SIGNER_OTHER_DOMAIN: 'A signing certificate belongs to another trust domain than the leaf.',
  // The leaf as an X509-SVID
  LEAF_IS_CA: 'The leaf is a CA; signing certificates authenticate nobody.',
  KEY_USAGE_MISSING: 'The leaf has no key usage extension.',
  KEY_USAGE_NOT_CRITICAL: 'The key usage of the leaf is not critical.',
  KEY_USAGE_NO_DIGITAL_SIGNATURE: 'The key usage of the leaf lacks digitalSignature.',
  KEY_USAGE_CERT_SIGN: 'The key usage of the leaf has keyCertSign.',
  KEY_USAGE_CRL_SIGN: 'The key usage of the leaf has cRLSign.',
  EKU_SERVER_AUTH_MISSING: 'The extended key usage of the leaf lacks serverAuth.',
  EKU_CLIENT_AUTH_MISSING: 'The extended key usage of the leaf lacks clientAuth.',
  SAN_NOT_CRITICAL: 'The leaf has an empty subject, but its alternative names are not critical.',
  SAN_MALFORMED: 'The alternative names of the leaf hold bytes that no name may hold.',
  URI_SAN_MISSING: 'The leaf has no URI among its alternative names, so no SPIFFE ID.',
  URI_SAN_SEVERAL: 'The leaf has several URIs among its alternative names.',
  SPIFFE_ID_INVALID: 'The URI of the leaf is not a SPIFFE ID.',
  SPIFFE_ID_NO_PATH: 'The SPIFFE ID of the leaf names a trust domain, not a service.',
  // What was expected
  REVOKED: 'The certificate or its identity was revoked.',
  TRUST_DOMAIN_MISMATCH: 'The SPIFFE ID is of another trust domain than the bundle.',
  ID_MISMATCH: 'The SPIFFE ID is not the expected one.',
  HOSTNAME_MISMATCH: 'No DNS or IP name of the leaf is the expected host name.',
} as const satisfies Record<string, string>

export type Reason = keyof typeof REASONS

/** For one log line: `EXPIRED: A certificate …; KEY_WEAK: …`. */
export function explain(reasons: readonly Reason[]): string {
  return reasons.map((reason) => `${reason}: ${REASONS[reason]}`).join(' ')
}
