// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import com.google.protobuf.ByteString;
import io.grpc.Grpc;
import io.grpc.InsecureServerCredentials;
import io.grpc.Server;
import io.grpc.Status;
import io.grpc.stub.StreamObserver;
import io.kohort.v1.Column;
import io.kohort.v1.Dataset;
import io.kohort.v1.DatasetServiceGrpc;
import io.kohort.v1.RecordBatch;
import io.kohort.v1.SampleHeader;
import io.kohort.v1.SampleRequest;
import io.kohort.v1.SampleResponse;
import io.kohort.v1.SampleTrailer;
import io.kohort.v1.SamplingServiceGrpc;
import io.kohort.v1.Schema;
import io.kohort.v1.UploadDatasetRequest;
import io.kohort.v1.UploadDatasetResponse;
import io.kohort.v1.UploadHeader;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * A server that takes uploads of columns, checks them as the contract says, keeps the last one, and gives it back as the
 * sample of any model.
 */
public final class EchoServer extends DatasetServiceGrpc.DatasetServiceImplBase implements AutoCloseable {
  /** The headers of all tries. */
  public final List<UploadHeader> headers = new ArrayList<>();

  /** The largest message. */
  public int largest;

  /** Rows of each batch of the last try. */
  public final List<Integer> batchRows = new ArrayList<>();

  /** Whether samples end with a digest that is not theirs. */
  public volatile boolean altering;

  private final List<UploadDatasetRequest> messages = new ArrayList<>();
  private final Server server;
  private final int breaks;
  private Layout layout;
  private Dictionaries dictionaries;
  private ContentDigest digest;
  private List<List<Object>> columns;
  private boolean wrong;

  /** A server that ends so many tries with UNAVAILABLE after their first batch. */
  public EchoServer(int breaks) throws IOException {
    this.breaks = breaks;
    server =
        Grpc.newServerBuilderForPort(0, InsecureServerCredentials.create())
            .addService(this)
            .addService(new Sampling())
            .build()
            .start();
  }

  /** Where it listens. */
  public String address() {
    return "127.0.0.1:" + server.getPort();
  }

  /** The cells of a column of the last upload, as a sample would give them. */
  public synchronized List<Object> cells(String column) {
    return columns.get(layout.position(column));
  }

  /** What the header said of a column. */
  public synchronized Column column(String name) {
    return layout.column(layout.position(name));
  }

  @Override
  public void close() {
    server.shutdownNow();
  }

  @Override
  public StreamObserver<UploadDatasetRequest> uploadDataset(StreamObserver<UploadDatasetResponse> answer) {
    return new StreamObserver<>() {
      @Override
      public void onNext(UploadDatasetRequest message) {
        synchronized (EchoServer.this) {
          if (take(message)) {
            answer.onError(Status.UNAVAILABLE.asRuntimeException());
          }
        }
      }

      @Override
      public void onError(Throwable broken) {}

      @Override
      public void onCompleted() {
        synchronized (EchoServer.this) {
          if (wrong || !Arrays.equals(digest.digest(), last().getDigests(0).getSha256().toByteArray())) {
            answer.onError(Status.INVALID_ARGUMENT.withDescription("DIGEST_MISMATCH").asRuntimeException());
            return;
          }
          Schema schema = last().getSchema();
          Dataset dataset =
              Dataset.newBuilder().setName("datasets/1").setSchema(schema)
                  .putRowCounts(layout.table(), columns.get(0).size()).build();
          answer.onNext(UploadDatasetResponse.newBuilder().setDataset(dataset).build());
          answer.onCompleted();
        }
      }
    };
  }

  private UploadHeader last() {
    return headers.get(headers.size() - 1);
  }

  /** True breaks the call. */
  private boolean take(UploadDatasetRequest message) {
    largest = Math.max(largest, message.getSerializedSize());
    switch (message.getPartCase()) {
      case HEADER:
        headers.add(message.getHeader());
        layout = new Layout(message.getHeader().getSchema().getTables(0));
        digest = new ContentDigest(List.of(layout));
        dictionaries = new Dictionaries();
        columns = new ArrayList<>();
        layout.schema.getColumnsList().forEach(column -> columns.add(new ArrayList<>()));
        batchRows.clear();
        messages.clear();
        return false;
      case DICTIONARY:
        messages.add(message);
        dictionaries.add(message.getDictionary());
        return false;
      default:
        messages.add(message);
        RecordBatch batch = message.getBatch();
        Cells[] cells = Decoder.decode(batch, layout, dictionaries);
        byte[] found = digest.add(layout.table(), cells, batch.getRowCount());
        wrong |= !Arrays.equals(found, batch.getDigest().toByteArray());
        batchRows.add(batch.getRowCount());
        for (int i = 0; i < cells.length; i++) {
          for (int row = 0; row < batch.getRowCount(); row++) {
            columns.get(i).add(cells[i].value(row));
          }
        }
        return headers.size() <= breaks;
    }
  }

  private final class Sampling extends SamplingServiceGrpc.SamplingServiceImplBase {
    @Override
    public void sample(SampleRequest request, StreamObserver<SampleResponse> answer) {
      synchronized (EchoServer.this) {
        long rows = columns.get(0).size();
        SampleHeader.Builder header = SampleHeader.newBuilder().setModel(request.getModel()).setUnitCount(rows);
        header.setSchema(last().getSchema()).setSynthetic(true);
        answer.onNext(SampleResponse.newBuilder().setHeader(header).build());
        long next = 0;
        for (UploadDatasetRequest message : messages) {
          SampleResponse.Builder part = SampleResponse.newBuilder();
          if (message.hasDictionary()) {
            answer.onNext(part.setDictionary(message.getDictionary()).build());
          } else {
            RecordBatch.Builder batch = message.getBatch().toBuilder().setFirstUnit(next);
            next += batch.getRowCount();
            answer.onNext(part.setBatch(batch.setNextUnit(next)).build());
          }
        }
        SampleTrailer.Builder trailer = SampleTrailer.newBuilder().setUnitCount(rows);
        trailer.putRowCounts(layout.table(), rows);
        trailer.setDigest(altering ? ByteString.EMPTY : last().getDigests(0).getSha256());
        answer.onNext(SampleResponse.newBuilder().setTrailer(trailer).build());
        answer.onCompleted();
      }
    }
  }
}
