// Signs what it is given, a case a line, with docs/examples/Signing.kt.
import hospital.terminal.TerminalSigner
import hospital.terminal.keyId
import java.security.KeyFactory
import java.security.spec.PKCS8EncodedKeySpec
import java.security.spec.X509EncodedKeySpec
import java.util.Base64

fun main() {
    generateSequence(::readLine).forEach { line ->
        val given = line.split("\t")
        val factory = KeyFactory.getInstance(if (given[0] == "ed25519") "Ed25519" else "EC")
        val key = factory.generatePrivate(PKCS8EncodedKeySpec(decoded(given[1])))
        val id = keyId(factory.generatePublic(X509EncodedKeySpec(decoded(given[2]))))
        val headers = TerminalSigner(key, id)
            .headers(given[3], given[4], given[5], decoded(given[6]), given[7].toLong(), given[8])
        println((listOf(id) + headers.values).joinToString("\t"))
    }
}

private fun decoded(text: String): ByteArray = Base64.getDecoder().decode(text)
