package hospital.terminal

import java.security.MessageDigest
import java.security.PrivateKey
import java.security.PublicKey
import java.security.SecureRandom
import java.security.Signature
import java.util.Base64

/**
 * Signs requests as a terminal: the three headers to send along (RFC 9421, tag face-terminal-v1).
 *
 * Android: make the key in the Keystore, where it stays. P-256, PURPOSE_SIGN, DIGEST_SHA256.
 *
 *     val entry = KeyStore.getInstance("AndroidKeyStore").apply { load(null) }
 *     val signer = TerminalSigner(entry.getKey("terminal", null) as PrivateKey, keyId)
 */
class TerminalSigner(private val key: PrivateKey, private val keyId: String) {
    private val isP256 = key.algorithm == "EC"

    /** [path] and [query] as they will be sent, percent-escapes included; [query] without "?". */
    fun headers(
        method: String,
        path: String,
        query: String,
        body: ByteArray,
        created: Long = System.currentTimeMillis() / 1000,
        nonce: String = freshNonce()
    ): Map<String, String> {
        val digest = "sha-256=:${base64(sha256(body))}:"
        val alg = if (isP256) "ecdsa-p256-sha256" else "ed25519"
        val params = "(\"@method\" \"@path\" \"@query\" \"content-digest\");created=$created;" +
            "keyid=\"$keyId\";alg=\"$alg\";nonce=\"$nonce\";tag=\"face-terminal-v1\""
        val base = "\"@method\": $method\n\"@path\": $path\n\"@query\": ?$query\n" +
            "\"content-digest\": $digest\n\"@signature-params\": $params"
        return mapOf(
            "Content-Digest" to digest,
            "Signature-Input" to "sig1=$params",
            "Signature" to "sig1=:${base64(sign(base.toByteArray()))}:"
        )
    }

    private fun sign(base: ByteArray): ByteArray {
        val signature = Signature.getInstance(if (isP256) "SHA256withECDSA" else "Ed25519")
        signature.initSign(key)
        signature.update(base)
        return if (isP256) joined(signature.sign()) else signature.sign()
    }
}

/** The keyid of a key: base64url without padding of SHA-256 over its SubjectPublicKeyInfo. */
fun keyId(key: PublicKey): String =
    Base64.getUrlEncoder().withoutPadding().encodeToString(sha256(key.encoded))

/** r and s, 32 bytes each: what RFC 9421 wants of the DER sequence Java makes. */
internal fun joined(der: ByteArray): ByteArray {
    val r = der.copyOfRange(4, 4 + der[3])
    val s = der.copyOfRange(6 + der[3], der.size)
    return thirtyTwo(r) + thirtyTwo(s)
}

private fun thirtyTwo(number: ByteArray): ByteArray {
    val digits = number.dropWhile { it == 0.toByte() }.toByteArray()
    return ByteArray(32 - digits.size) + digits
}

private fun freshNonce(): String = base64(ByteArray(24).also { SecureRandom().nextBytes(it) })

private fun sha256(bytes: ByteArray): ByteArray = MessageDigest.getInstance("SHA-256").digest(bytes)

private fun base64(bytes: ByteArray): String = Base64.getEncoder().encodeToString(bytes)
