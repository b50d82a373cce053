// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import io.grpc.ChannelCredentials;
import io.grpc.TlsChannelCredentials;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.PublicKey;
import java.security.Signature;
import java.security.cert.CertificateFactory;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Base64;
import java.util.Objects;

/**
 * How the server is recognised, and how this client proves who it is. Immutable; begin with {@link #system()}.
 * Certificates and keys are PEM files, read when the client is built.
 */
public final class Tls {
  private static final String KEY = "-----BEGIN PRIVATE KEY-----";

  private final Path authorities;
  private final Path certificate;
  private final Path key;
  private final String serverName;

  private Tls(Path authorities, Path certificate, Path key, String serverName) {
    this.authorities = authorities;
    this.certificate = certificate;
    this.key = key;
    this.serverName = serverName;
  }

  /**
   * TLS that trusts the authorities of the Java runtime.
   *
   * @return settings
   */
  public static Tls system() {
    return new Tls(null, null, null, null);
  }

  /**
   * The same with authorities of one's own.
   *
   * @param pem those that may have signed the server's certificate; they replace the runtime's
   * @return other settings
   */
  public Tls withAuthorities(Path pem) {
    return new Tls(Objects.requireNonNull(pem), certificate, key, serverName);
  }

  /**
   * The same with a client certificate, for servers that ask for one (mTLS).
   *
   * @param certificate the chain, this client's own first
   * @param key its private key, PKCS #8 without a password ("BEGIN PRIVATE KEY")
   * @return other settings
   */
  public Tls withCertificate(Path certificate, Path key) {
    return new Tls(authorities, Objects.requireNonNull(certificate), Objects.requireNonNull(key), serverName);
  }

  /**
   * The same with the name that the server's certificate must bear, where it is not the host of the target.
   *
   * @param serverName a host name
   * @return other settings
   */
  public Tls withServerName(String serverName) {
    return new Tls(authorities, certificate, key, Objects.requireNonNull(serverName));
  }

  /** See {@link #withServerName}; null where none was given. */
  String serverName() {
    return serverName;
  }

  /**
   * The credentials of a channel.
   *
   * @throws UncheckedIOException a file cannot be read
   * @throws IllegalArgumentException it is no PEM of its kind
   */
  ChannelCredentials credentials() {
    TlsChannelCredentials.Builder builder = TlsChannelCredentials.newBuilder();
    try {
      if (authorities != null) {
        byte[] trusted = pem("authorities", authorities, "-----BEGIN CERTIFICATE-----");
        builder.trustManager(new ByteArrayInputStream(trusted));
      }
      if (certificate != null) {
        byte[] chain = pem("certificate", certificate, "-----BEGIN CERTIFICATE-----");
        byte[] own = pem("key", key, KEY);
        if (!belong(chain, own)) {
          throw new IllegalArgumentException("TLS: the key is not that of the certificate");
        }
        builder.keyManager(new ByteArrayInputStream(chain), new ByteArrayInputStream(own));
      }
    } catch (IOException unreadable) {
      throw new UncheckedIOException(unreadable);
    }
    return builder.build();
  }

  private static byte[] pem(String name, Path file, String begin) throws IOException {
    byte[] content = Files.readAllBytes(file);
    // Without this check the first handshake would find out, and not say so.
    String text = new String(content, StandardCharsets.ISO_8859_1);
    if (!text.contains(begin)) {
      boolean otherKey = name.equals("key") && text.contains("PRIVATE KEY-----");
      throw new IllegalArgumentException(
          otherKey
              ? "TLS: key is no PKCS #8 without a password: openssl pkcs8 -topk8 -nocrypt makes one"
              : "TLS: " + name + " holds no " + (name.equals("key") ? "private key" : "certificate") + " in PEM");
    }
    return content;
  }

  /** Whether the key is that of the first certificate. Also true of what this Java cannot read: the handshake tells. */
  private static boolean belong(byte[] chain, byte[] key) {
    try {
      PublicKey known =
          CertificateFactory.getInstance("X.509").generateCertificate(new ByteArrayInputStream(chain)).getPublicKey();
      String text = new String(key, StandardCharsets.ISO_8859_1);
      int from = text.indexOf(KEY) + KEY.length();
      byte[] content = Base64.getMimeDecoder().decode(text.substring(from, text.indexOf("-----END", from)));
      boolean rsa = known.getAlgorithm().equals("RSA");
      Signature signature = Signature.getInstance(rsa ? "SHA256withRSA" : "SHA256withECDSA");
      signature.initSign(
          KeyFactory.getInstance(known.getAlgorithm()).generatePrivate(new PKCS8EncodedKeySpec(content)));
      signature.update(content);
      byte[] signed = signature.sign();
      signature.initVerify(known);
      signature.update(content);
      return signature.verify(signed);
    } catch (GeneralSecurityException | IllegalArgumentException | IndexOutOfBoundsException unknown) {
      return true;
    }
  }
}
