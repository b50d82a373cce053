// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import com.google.protobuf.Timestamp;
import io.kohort.v1.Dataset;
import io.kohort.v1.ExpectedDigest;
import io.kohort.v1.FileChunk;
import io.kohort.v1.Schema;
import io.kohort.v1.TableSchema;
import io.kohort.v1.UploadDatasetRequest;
import io.kohort.v1.UploadFormat;
import io.kohort.v1.UploadHeader;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.Locale;
import java.util.Objects;
import java.util.UUID;

/** A file to be uploaded as it is. Used by one thread at a time. */
public final class FileUpload {
  private final Connection connection;
  private final Path file;
  private final UploadHeader.Builder header = UploadHeader.newBuilder();
  private String table = "table";
  private TableSchema schema = TableSchema.getDefaultInstance();
  private String subjectKey = "";

  FileUpload(Connection connection, Path file) {
    this.connection = connection;
    this.file = file;
    header.setFormat(format(file));
  }

  private static UploadFormat format(Path file) {
    Path last = file.getFileName();
    String name = last == null ? "" : last.toString().toLowerCase(Locale.ROOT);
    int dot = name.lastIndexOf('.');
    String suffix = dot < 0 ? "" : name.substring(dot);
    switch (suffix) {
      case ".csv":
        return UploadFormat.UPLOAD_FORMAT_CSV;
      case ".parquet":
      case ".pq":
        return UploadFormat.UPLOAD_FORMAT_PARQUET;
      case ".xlsx":
        return UploadFormat.UPLOAD_FORMAT_EXCEL;
      default:
        throw new IllegalArgumentException(
            "the file's name must end in one of .csv, .parquet, .pq, .xlsx; this one "
                + (suffix.isEmpty() ? "has no suffix" : "ends in " + suffix));
    }
  }

  /**
   * Names the table.
   *
   * @param table its name; by default "table"
   * @return this
   */
  public FileUpload table(String table) {
    this.table = Objects.requireNonNull(table);
    return this;
  }

  /**
   * Declares what is known of the table; the server infers the rest.
   *
   * @param schema its columns and keys; its name is replaced by that of {@link #table}
   * @return this
   */
  public FileUpload schema(TableSchema schema) {
    this.schema = Objects.requireNonNull(schema);
    return this;
  }

  /**
   * Names the column that identifies the patient.
   *
   * @param column its name
   * @return this
   */
  public FileUpload subjectKey(String column) {
    this.subjectKey = Objects.requireNonNull(column);
    return this;
  }

  /**
   * A name for people.
   *
   * @param displayName at most 200 characters
   * @return this
   */
  public FileUpload displayName(String displayName) {
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
  public FileUpload label(String key, String value) {
    header.putLabels(key, value);
    return this;
  }

  /**
   * When the server deletes the rows.
   *
   * @param after counted from now; by default 7 days
   * @return this
   */
  public FileUpload expiresIn(Duration after) {
    Instant time = Instant.now().plus(after);
    header.setExpireTime(Timestamp.newBuilder().setSeconds(time.getEpochSecond()).setNanos(time.getNano()));
    return this;
  }

  /**
   * Deletes the rows once a model has been trained on them.
   *
   * @return this
   */
  public FileUpload deleteAfterTraining() {
    header.setDeleteAfterTraining(true);
    return this;
  }

  /**
   * Makes repeats of this very upload safe, from any process. By default a fresh id covers the tries of this call.
   *
   * @param requestId chosen by the caller
   * @return this
   */
  public FileUpload requestId(UUID requestId) {
    header.setRequestId(requestId.toString());
    return this;
  }

  /**
   * Reads the file twice: for its digest, and to send it.
   *
   * @return what is stored
   * @throws InvalidRequestException the data breaks a rule; the violations name the columns
   * @throws java.io.UncheckedIOException the file cannot be read
   */
  public Dataset send() {
    TableSchema.Builder declared = schema.toBuilder().setName(table);
    if (!subjectKey.isEmpty()) {
      declared.setSubjectKey(subjectKey);
    }
    UploadHeader complete =
        header
            .clone()
            .setSchema(Schema.newBuilder().addTables(declared))
            .addDigests(ExpectedDigest.newBuilder().setTable(table).setSha256(Digests.sha256(file)))
            .build();
    return Uploads.send(
        connection,
        complete,
        () ->
            Digests.chunks(
                file,
                data ->
                    UploadDatasetRequest.newBuilder()
                        .setChunk(FileChunk.newBuilder().setTable(table).setData(data))
                        .build()));
  }
}
