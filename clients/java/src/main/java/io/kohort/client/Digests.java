// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import com.google.protobuf.ByteString;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.SeekableByteChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.function.Function;

/** SHA-256, and files by pieces. */
final class Digests {
  private static final int CHUNK = 1 << 20;

  private Digests() {}

  static MessageDigest sha256() {
    try {
      return MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException impossible) {
      throw new IllegalStateException(impossible);
    }
  }

  /** Of a file's bytes. */
  static ByteString sha256(Path file) {
    MessageDigest digest = sha256();
    new Chunks<>(file, chunk -> chunk).forEachRemaining(chunk -> digest.update(chunk.asReadOnlyByteBuffer()));
    return ByteString.copyFrom(digest.digest());
  }

  /** The bytes of a file as messages of 1 MiB; the file is closed after the last, or when it cannot be read. */
  static <T> Iterator<T> chunks(Path file, Function<ByteString, T> message) {
    return new Chunks<>(file, message);
  }

  /** Opens the file for each piece anew: an upload that is given up leaves nothing open. */
  private static final class Chunks<T> implements Iterator<T> {
    private final Path file;
    private final Function<ByteString, T> message;
    private long position;
    private ByteString next;

    Chunks(Path file, Function<ByteString, T> message) {
      this.file = file;
      this.message = message;
    }

    @Override
    public boolean hasNext() {
      if (next == null) {
        try (SeekableByteChannel in = Files.newByteChannel(file)) {
          ByteBuffer read = ByteBuffer.allocate(CHUNK);
          in.position(position);
          while (read.hasRemaining() && in.read(read) >= 0) {
            continue;
          }
          next = ByteString.copyFrom(read.flip());
        } catch (IOException unreadable) {
          throw new UncheckedIOException(unreadable);
        }
      }
      return !next.isEmpty();
    }

    @Override
    public T next() {
      if (!hasNext()) {
        throw new NoSuchElementException();
      }
      ByteString chunk = next;
      position += chunk.size();
      next = null;
      return message.apply(chunk);
    }
  }
}
