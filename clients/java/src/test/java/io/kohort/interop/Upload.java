// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.interop;

import com.google.protobuf.ByteString;
import io.grpc.ManagedChannel;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientResponseObserver;
import io.kohort.v1.Dataset;
import io.kohort.v1.DatasetServiceGrpc;
import io.kohort.v1.ExpectedDigest;
import io.kohort.v1.FileChunk;
import io.kohort.v1.Schema;
import io.kohort.v1.TableSchema;
import io.kohort.v1.UploadDatasetRequest;
import io.kohort.v1.UploadDatasetResponse;
import io.kohort.v1.UploadFormat;
import io.kohort.v1.UploadHeader;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.TimeUnit;

/** Sends one CSV file by chunks, never more of them than the connection takes. */
final class Upload implements ClientResponseObserver<UploadDatasetRequest, UploadDatasetResponse> {
  private static final int CHUNK = 1 << 20;

  private final Queue<UploadDatasetRequest> messages;
  private final CompletableFuture<UploadDatasetResponse> answer = new CompletableFuture<>();
  private boolean completed;

  private Upload(Queue<UploadDatasetRequest> messages) {
    this.messages = messages;
  }

  static Object send(ManagedChannel channel, Path file, String table) throws IOException {
    Upload upload = new Upload(messages(Files.readAllBytes(file), table));
    DatasetServiceGrpc.newStub(channel)
        .withDeadlineAfter(Driver.DEADLINE_SECONDS, TimeUnit.SECONDS)
        .uploadDataset(upload);
    Dataset dataset;
    try {
      dataset = upload.answer.join().getDataset();
    } catch (CompletionException failed) {
      throw (StatusRuntimeException) failed.getCause();
    }
    List<String> columns = new ArrayList<>();
    for (TableSchema stored : dataset.getSchema().getTablesList()) {
      stored.getColumnsList().forEach(column -> columns.add(column.getName()));
    }
    Map<String, Object> result = new LinkedHashMap<>();
    result.put("dataset", dataset.getName());
    result.put("rows", String.valueOf(dataset.getRowCountsOrDefault(table, 0)));
    result.put("digest", hex(dataset.getDigest().toByteArray()));
    result.put("columns", columns);
    return result;
  }

  private static Queue<UploadDatasetRequest> messages(byte[] data, String table) {
    ByteString digest = ByteString.copyFrom(ColumnDigest.sha256().digest(data));
    UploadHeader header =
        UploadHeader.newBuilder()
            .setRequestId(UUID.randomUUID().toString())
            .setFormat(UploadFormat.UPLOAD_FORMAT_CSV)
            .setSchema(Schema.newBuilder().addTables(TableSchema.newBuilder().setName(table)))
            .addDigests(ExpectedDigest.newBuilder().setTable(table).setSha256(digest))
            .build();
    Queue<UploadDatasetRequest> messages = new ArrayDeque<>();
    messages.add(UploadDatasetRequest.newBuilder().setHeader(header).build());
    for (int start = 0; start < data.length; start += CHUNK) {
      ByteString part = ByteString.copyFrom(data, start, Math.min(CHUNK, data.length - start));
      FileChunk chunk = FileChunk.newBuilder().setTable(table).setData(part).build();
      messages.add(UploadDatasetRequest.newBuilder().setChunk(chunk).build());
    }
    return messages;
  }

  @Override
  public void beforeStart(ClientCallStreamObserver<UploadDatasetRequest> call) {
    call.setOnReadyHandler(
        () -> {
          while (call.isReady() && !messages.isEmpty()) {
            call.onNext(messages.remove());
          }
          if (messages.isEmpty() && !completed) {
            completed = true;
            call.onCompleted();
          }
        });
  }

  @Override
  public void onNext(UploadDatasetResponse response) {
    answer.complete(response);
  }

  @Override
  public void onError(Throwable error) {
    answer.completeExceptionally(error);
  }

  @Override
  public void onCompleted() {}

  static String hex(byte[] bytes) {
    StringBuilder text = new StringBuilder();
    for (byte b : bytes) {
      text.append(String.format("%02x", b));
    }
    return text.toString();
  }
}
