// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.Closeable;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.security.GeneralSecurityException;
import java.security.SecureRandom;
import javax.crypto.Cipher;
import javax.crypto.CipherInputStream;
import javax.crypto.CipherOutputStream;
import javax.crypto.spec.IvParameterSpec;
import javax.crypto.spec.SecretKeySpec;

/**
 * Bytes that are written once and read often: in memory while they are few, then in a temporary file. The file is
 * encrypted with a key that only this object holds, since its bytes are patients' and a process may die without
 * deleting it. One thread at a time.
 */
final class Spool implements Closeable {
  private static final int BUFFER = 1 << 16;

  private final int memory;
  private final SecretKeySpec key;
  private final IvParameterSpec start = new IvParameterSpec(new byte[16]); // the key is used for one stream only
  private final DataOutputStream out = new DataOutputStream(new BufferedOutputStream(new Sink(), BUFFER));
  private ByteArrayOutputStream bytes = new ByteArrayOutputStream();
  private FileChannel file;
  private OutputStream encrypted;

  /**
   * An empty spool.
   *
   * @param memory the bytes that it holds in memory at most
   */
  Spool(int memory) {
    this.memory = memory;
    byte[] secret = new byte[16];
    new SecureRandom().nextBytes(secret);
    key = new SecretKeySpec(secret, "AES");
  }

  /** Where to write. */
  DataOutputStream out() {
    return out;
  }

  /** All bytes from the start. Nothing may be written after the first call. */
  DataInputStream in() throws IOException {
    out.flush();
    if (file == null) {
      return new DataInputStream(new ByteArrayInputStream(bytes.toByteArray()));
    }
    encrypted.flush(); // of a stream cipher that is all
    InputStream raw = new BufferedInputStream(new Source(), BUFFER);
    InputStream plain = new CipherInputStream(raw, cipher(Cipher.DECRYPT_MODE));
    return new DataInputStream(new BufferedInputStream(plain, BUFFER));
  }

  /** The file, for tests; null while all is in memory. */
  FileChannel file() {
    return file;
  }

  @Override
  public void close() throws IOException {
    bytes = null;
    if (file != null) {
      file.close(); // deletes it
    }
  }

  private void toFile() throws IOException {
    Path path = Files.createTempFile("kohort-", ".rows"); // for its owner alone, where the system knows owners
    // Where the system can, the name goes at once and the bytes with the process.
    file =
        FileChannel.open(
            path, StandardOpenOption.READ, StandardOpenOption.WRITE, StandardOpenOption.DELETE_ON_CLOSE);
    OutputStream buffered = new BufferedOutputStream(Channels.newOutputStream(file), BUFFER);
    encrypted = new CipherOutputStream(buffered, cipher(Cipher.ENCRYPT_MODE));
    bytes.writeTo(encrypted);
    bytes = null;
  }

  private Cipher cipher(int mode) {
    try {
      Cipher cipher = Cipher.getInstance("AES/CTR/NoPadding");
      cipher.init(mode, key, start);
      return cipher;
    } catch (GeneralSecurityException impossible) { // every Java has it
      throw new AssertionError(impossible);
    }
  }

  private final class Sink extends OutputStream {
    @Override
    public void write(int b) throws IOException {
      write(new byte[] {(byte) b}, 0, 1);
    }

    @Override
    public void write(byte[] data, int offset, int length) throws IOException {
      if (file == null && bytes.size() + length > memory) {
        toFile();
      }
      (file == null ? bytes : encrypted).write(data, offset, length);
    }
  }

  /** The file from its start; several may be read at once. */
  private final class Source extends InputStream {
    private long position;

    @Override
    public int read() throws IOException {
      byte[] one = new byte[1];
      return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
    }

    @Override
    public int read(byte[] data, int offset, int length) throws IOException {
      int read = file.read(ByteBuffer.wrap(data, offset, length), position);
      position += Math.max(read, 0);
      return read;
    }
  }
}
