// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import com.google.protobuf.ByteString;
import io.grpc.MethodDescriptor;
import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.util.function.Function;

/**
 * A stream of a header with size and digest, then bytes. They go to a temporary file, which is used once all are
 * there and have their digest. A broken stream begins anew.
 *
 * @param <Q> the request
 * @param <R> the messages
 */
final class Download<Q, R> implements Resumable<Q, R> {
  private final MethodDescriptor<Q, R> method;
  private final Q request;
  private final Function<R, Header> header;
  private final Function<R, ByteString> data;
  private final MessageDigest digest = Digests.sha256();
  private FileChannel file;
  private Header announced;
  private long size;

  /** Reads a message's header, null where it has none, and its bytes. */
  Download(MethodDescriptor<Q, R> method, Q request, Function<R, Header> header, Function<R, ByteString> data) {
    this.method = method;
    this.request = request;
    this.header = header;
    this.data = data;
  }

  /** What is announced. */
  static final class Header {
    private final long size;
    private final byte[] sha256;

    Header(long size, ByteString sha256) {
      this.size = size;
      this.sha256 = sha256.toByteArray();
    }
  }

  /** Into a file, which is replaced. */
  void to(Connection connection, Path target) {
    try {
      // Beside the target, so that it can be moved there at once.
      Path temporary = Files.createTempFile(folder(target), ".kohort", ".part");
      try {
        fetch(connection, temporary);
        Files.move(
            temporary, target, StandardCopyOption.REPLACE_EXISTING, StandardCopyOption.ATOMIC_MOVE);
      } finally {
        Files.deleteIfExists(temporary);
      }
    } catch (IOException unwritable) {
      throw new UncheckedIOException(unwritable);
    }
  }

  /** The folder that a file is to lie in; where there is none the error names it, and no temporary file. */
  static Path folder(Path file) throws NoSuchFileException {
    Path folder = file.toAbsolutePath().getParent();
    if (folder == null || !Files.isDirectory(folder)) {
      throw new NoSuchFileException(file.toString(), null, "there is no such folder");
    }
    return folder;
  }

  /** Into a stream. */
  void to(Connection connection, OutputStream out) {
    try {
      Path temporary = Files.createTempFile("kohort", ".part");
      try {
        fetch(connection, temporary);
        Files.copy(temporary, out);
        out.flush();
      } finally {
        Files.deleteIfExists(temporary);
      }
    } catch (IOException unwritable) {
      throw new UncheckedIOException(unwritable);
    }
  }

  private void fetch(Connection connection, Path temporary) throws IOException {
    Attempts attempts = connection.attempts(connection.timeouts().transfer());
    try (FileChannel opened = FileChannel.open(temporary, StandardOpenOption.WRITE);
        Following<Q, R> following = new Following<>(connection, attempts, this)) {
      file = opened;
      while (following.step()) {
        continue;
      }
      opened.force(true);
    }
  }

  @Override
  public MethodDescriptor<Q, R> method() {
    return method;
  }

  @Override
  public Q request() {
    announced = null;
    size = 0;
    digest.reset();
    try {
      file.truncate(0);
    } catch (IOException unwritable) {
      throw new UncheckedIOException(unwritable);
    }
    return request;
  }

  @Override
  public void receive(R message) {
    Header first = header.apply(message);
    if ((first == null) != (announced != null)) {
      throw new IntegrityException("the download's messages came in the wrong order");
    }
    if (first != null) {
      announced = first;
      return;
    }
    ByteString bytes = data.apply(message);
    size += bytes.size();
    if (size > announced.size) {
      throw new IntegrityException("the download is larger than announced");
    }
    digest.update(bytes.asReadOnlyByteBuffer());
    try {
      ByteBuffer left = bytes.asReadOnlyByteBuffer();
      while (left.hasRemaining()) {
        file.write(left);
      }
    } catch (IOException unwritable) {
      throw new UncheckedIOException(unwritable);
    }
  }

  @Override
  public boolean ended() {
    if (announced == null || size != announced.size) {
      throw new IntegrityException("the download is incomplete");
    }
    if (!MessageDigest.isEqual(digest.digest(), announced.sha256)) {
      throw new IntegrityException("the download does not have its digest");
    }
    return true;
  }
}
