// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyPairGenerator;
import java.security.spec.ECGenParameterSpec;
import java.time.Duration;
import java.util.Base64;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class SettingsTest {
  @ParameterizedTest
  @CsvSource({
    "localhost,localhost:50051,false",
    "localhost:1,localhost:1,false",
    "a.localhost:1,a.localhost:1,false",
    "127.3.2.1,127.3.2.1:50051,false",
    "::1,[::1]:50051,false",
    "[::1]:7,[::1]:7,false",
    "kohort.example,kohort.example:50051,true",
    "dns:///kohort.example:9,dns:///kohort.example:9,true",
    "dns:///localhost,dns:///localhost:50051,false",
    "128.0.0.1:80,128.0.0.1:80,true",
    "127.0.0.1.example,127.0.0.1.example:50051,true",
    "2001:db8::1,[2001:db8::1]:50051,true",
  })
  void targets(String text, String target, boolean secure) {
    Endpoint endpoint = Endpoint.parse(text, null);
    assertEquals(target, endpoint.target);
    assertEquals(secure, endpoint.secure);
    assertEquals(true, Endpoint.parse(text, true).secure);
    assertEquals(false, Endpoint.parse(text, false).secure);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "", "  ", "http://localhost:50051", "grpcs://kohort", "h:", "h:0", "h:65536", "h:x", "[::1", "[::1]7", ":7"
      })
  void targetsThatCannotBe(String text) {
    IllegalArgumentException error =
        assertThrows(IllegalArgumentException.class, () -> KohortClient.builder(text).build());
    assertTrue(error.getMessage().contains("localhost:50051"), error.getMessage());
  }

  @Test
  void aKeepaliveThatTheServerWouldPunishIsRefused() {
    IllegalArgumentException error =
        assertThrows(
            IllegalArgumentException.class, () -> KeepAlive.DEFAULT.withInterval(Duration.ofMillis(9_999)));
    assertTrue(error.getMessage().contains("too_many_pings"), error.getMessage());
    assertEquals(Duration.ofSeconds(10), KeepAlive.DEFAULT.withInterval(Duration.ofSeconds(10)).interval());
  }

  @Test
  void withersChangeOneThing() {
    Retry retry =
        Retry.DEFAULT.withAttempts(7).withBackoff(Duration.ofSeconds(1), 3, Duration.ofSeconds(9), 0.5);
    assertEquals(7, retry.attempts());
    assertEquals(3, retry.multiplier());
    assertEquals(Duration.ofSeconds(60), retry.streamPatience());
    assertEquals(5, Retry.DEFAULT.attempts());
    assertEquals(1, Retry.NEVER.attempts());
    Timeouts timeouts = Timeouts.DEFAULT.withCall(null).withTransfer(Duration.ofSeconds(1));
    assertEquals(null, timeouts.call());
    assertEquals(Duration.ofSeconds(5), timeouts.connect());
    assertEquals(Duration.ofSeconds(1), timeouts.transfer());
  }

  @Test
  void boundsOfSettings() {
    Duration none = Duration.ZERO;
    assertThrows(IllegalArgumentException.class, () -> Retry.DEFAULT.withAttempts(0));
    assertThrows(IllegalArgumentException.class, () -> Retry.DEFAULT.withBackoff(none, 2, Duration.ofDays(1), 0));
    assertThrows(
        IllegalArgumentException.class, () -> Retry.DEFAULT.withBackoff(Duration.ofDays(1), 2, Duration.ofDays(1), 2));
    assertThrows(IllegalArgumentException.class, () -> Timeouts.DEFAULT.withCall(none));
    assertThrows(IllegalArgumentException.class, () -> Timeouts.DEFAULT.withConnect(none));
    assertThrows(IllegalArgumentException.class, () -> KeepAlive.DEFAULT.withTimeout(none));
  }

  @Test
  void certificatesAreReadWhenTheClientIsBuilt(@TempDir Path folder) throws Exception {
    Path missing = folder.resolve("missing.pem");
    Path text = Files.writeString(folder.resolve("text.pem"), "no PEM");
    Path old = Files.writeString(folder.resolve("old.pem"), "-----BEGIN RSA PRIVATE KEY-----");
    Path certificate = Files.writeString(folder.resolve("cert.pem"), "-----BEGIN CERTIFICATE-----");
    assertThrows(UncheckedIOException.class, () -> build(Tls.system().withAuthorities(missing)));
    assertEquals(
        "TLS: authorities holds no certificate in PEM",
        assertThrows(IllegalArgumentException.class, () -> build(Tls.system().withAuthorities(text))).getMessage());
    assertEquals(
        "TLS: key holds no private key in PEM",
        assertThrows(
                IllegalArgumentException.class, () -> build(Tls.system().withCertificate(certificate, text)))
            .getMessage());
    String told =
        assertThrows(IllegalArgumentException.class, () -> build(Tls.system().withCertificate(certificate, old)))
            .getMessage();
    assertTrue(told.contains("PKCS #8"), told);
  }

  private static void build(Tls tls) {
    KohortClient.builder("localhost").tls(tls).build().close();
  }

  @Test
  void aKeyOfAnotherCertificateIsRefused(@TempDir Path folder) throws Exception {
    String content =
        "MIIBcDCCARWgAwIBAgIUeWJgNW8Mzq8dQrIJi48IfebzkqcwCgYIKoZIzj0EAwIwDDEKMAgGA1UEAwwBYTAgFw0yNj"
            + "ExMjIxMzE3NTFaGA8yMTI2MTAyOTEzMTc1MVowDDEKMAgGA1UEAwwBYTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IA"
            + "BFeQn/WRRARSmlNGfigkKjrY1uMD5bOSf+6clK8FEHBD4z8O0TpyoKid7nVxc6eGHble5U/yct1a30izQhewvIWjUz"
            + "BRMB0GA1UdDgQWBBRS0OPywDkrFN2V8fX8hTiYE2dKUjAfBgNVHSMEGDAWgBRS0OPywDkrFN2V8fX8hTiYE2dKUjAP"
            + "BgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0kAMEYCIQDsHrTfU3x4H+t7tcAElriNMzCdFxSi0BJ7BA3iJdnBOQ"
            + "IhAM81duBinkaODtf00FYrbuV+TUJIqYX/Ozs6+DhJb2dr";
    KeyPairGenerator keys = KeyPairGenerator.getInstance("EC");
    keys.initialize(new ECGenParameterSpec("secp256r1"));
    String key = Base64.getMimeEncoder().encodeToString(keys.generateKeyPair().getPrivate().getEncoded());
    Path certificate = Files.writeString(folder.resolve("c.pem"), pem("CERTIFICATE", content));
    Path other = Files.writeString(folder.resolve("k.pem"), pem("PRIVATE KEY", key));
    Tls tls = Tls.system().withCertificate(certificate, other);
    RuntimeException refused = assertThrows(IllegalArgumentException.class, tls::credentials);
    assertEquals("TLS: the key is not that of the certificate", refused.getMessage());
  }

  private static String pem(String kind, String content) {
    return "-----BEGIN " + kind + "-----\n" + content + "\n-----END " + kind + "-----\n";
  }
}
