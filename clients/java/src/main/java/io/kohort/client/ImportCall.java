// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import io.kohort.v1.ImportHeader;
import io.kohort.v1.ImportModelRequest;
import io.kohort.v1.Model;
import io.kohort.v1.SamplingServiceGrpc;
import java.nio.file.Path;
import java.util.Objects;
import java.util.UUID;

/** A bundle to be imported. Used by one thread at a time. */
public final class ImportCall {
  private final Connection connection;
  private final Path bundle;
  private final ImportHeader.Builder header = ImportHeader.newBuilder();

  ImportCall(Connection connection, Path bundle) {
    this.connection = connection;
    this.bundle = Objects.requireNonNull(bundle);
  }

  /**
   * A name for people.
   *
   * @param displayName at most 200 characters
   * @return this
   */
  public ImportCall displayName(String displayName) {
    header.setDisplayName(displayName);
    return this;
  }

  /**
   * A label for programs.
   *
   * @param key at most 63 characters
   * @param value at most 63 characters
   * @return this
   */
  public ImportCall label(String key, String value) {
    header.putLabels(key, value);
    return this;
  }

  /**
   * Makes repeats of this very import safe, from any process. By default a fresh id covers the tries of this call.
   *
   * @param requestId chosen by the caller
   * @return this
   */
  public ImportCall requestId(UUID requestId) {
    header.setRequestId(requestId.toString());
    return this;
  }

  /**
   * Reads the bundle twice: for its digest, and to send it.
   *
   * @return the model
   * @throws InvalidRequestException the bytes are no bundle
   * @throws FailedPreconditionException {@code BUNDLE_UNTRUSTED}: nobody whom the server trusts signed it
   * @throws java.io.UncheckedIOException the file cannot be read
   */
  public Model send() {
    ImportHeader.Builder complete = header.clone().setSha256(Digests.sha256(bundle));
    if (complete.getRequestId().isEmpty()) {
      complete.setRequestId(UUID.randomUUID().toString());
    }
    return Uploads.send(
            connection,
            SamplingServiceGrpc.getImportModelMethod(),
            ImportModelRequest.newBuilder().setHeader(complete).build(),
            () -> Digests.chunks(bundle, data -> ImportModelRequest.newBuilder().setData(data).build()))
        .getModel();
  }
}
