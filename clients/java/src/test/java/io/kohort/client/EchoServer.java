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
import io.kohort.v1.ExpectedDigest;
import io.kohort.v1.RecordBatch;
import io.kohort.v1.SampleHeader;
import io.kohort.v1.SampleRequest;
import io.kohort.v1.SampleResponse;
import io.kohort.v1.SampleTrailer;
import io.kohort.v1.SamplingServiceGrpc;
import io.kohort.v1.TableSchema;
import io.kohort.v1.UploadDatasetRequest;
import io.kohort.v1.UploadDatasetResponse;
import io.kohort.v1.UploadHeader;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * A server that takes uploads of columns, checks them as the contract says, keeps the last one, and gives its first
 * table back as the sample of any model.
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
  private final Map<String, Table> tables = new LinkedHashMap<>();
  private final Server server;
  private final int breaks;
  private Dictionaries dictionaries;
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

  /** The cells of a column of the last upload's first table, as a sample would give them. */
  public synchronized List<Object> cells(String column) {
    return first().cells(column);
  }

  /** The same of any table. */
  public synchronized List<Object> cells(String table, String column) {
    return tables.get(table).cells(column);
  }

  /** What the header said of a column of the first table. */
  public synchronized Column column(String name) {
    return first().layout.column(first().layout.position(name));
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
          Dataset.Builder dataset = Dataset.newBuilder().setName("datasets/1").setSchema(last().getSchema());
          for (ExpectedDigest expected : last().getDigestsList()) {
            Table table = tables.get(expected.getTable());
            wrong |= !Arrays.equals(table.digest.digest(), expected.getSha256().toByteArray());
            dataset.putRowCounts(expected.getTable(), table.rows());
          }
          if (wrong || last().getDigestsCount() != tables.size()) {
            answer.onError(Status.INVALID_ARGUMENT.withDescription("DIGEST_MISMATCH").asRuntimeException());
            return;
          }
          answer.onNext(UploadDatasetResponse.newBuilder().setDataset(dataset).build());
          answer.onCompleted();
        }
      }
    };
  }

  private UploadHeader last() {
    return headers.get(headers.size() - 1);
  }

  private Table first() {
    return tables.values().iterator().next();
  }

  /** True breaks the call. */
  private boolean take(UploadDatasetRequest message) {
    largest = Math.max(largest, message.getSerializedSize());
    switch (message.getPartCase()) {
      case HEADER:
        headers.add(message.getHeader());
        tables.clear();
        for (TableSchema schema : message.getHeader().getSchema().getTablesList()) {
          tables.put(schema.getName(), new Table(schema));
        }
        dictionaries = new Dictionaries();
        batchRows.clear();
        messages.clear();
        return false;
      case DICTIONARY:
        messages.add(message);
        dictionaries.add(message.getDictionary());
        return false;
      default:
        messages.add(message);
        wrong |= !tables.get(message.getBatch().getTable()).add(message.getBatch());
        batchRows.add(message.getBatch().getRowCount());
        return headers.size() <= breaks;
    }
  }

  private final class Table {
    final Layout layout;
    final ContentDigest digest;
    private final List<List<Object>> columns = new ArrayList<>();

    Table(TableSchema schema) {
      layout = new Layout(schema);
      digest = new ContentDigest(List.of(layout));
      schema.getColumnsList().forEach(column -> columns.add(new ArrayList<>()));
    }

    List<Object> cells(String column) {
      return columns.get(layout.position(column));
    }

    long rows() {
      return columns.get(0).size();
    }

    /** False where the batch has not its digest. */
    boolean add(RecordBatch batch) {
      Cells[] cells = Decoder.decode(batch, layout, dictionaries);
      byte[] found = digest.add(layout.table(), cells, batch.getRowCount());
      for (int i = 0; i < cells.length; i++) {
        for (int row = 0; row < batch.getRowCount(); row++) {
          columns.get(i).add(cells[i].value(row));
        }
      }
      return Arrays.equals(found, batch.getDigest().toByteArray());
    }
  }

  private final class Sampling extends SamplingServiceGrpc.SamplingServiceImplBase {
    @Override
    public void sample(SampleRequest request, StreamObserver<SampleResponse> answer) {
      synchronized (EchoServer.this) {
        long rows = first().rows();
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
        trailer.putRowCounts(first().layout.table(), rows);
        trailer.setDigest(altering ? ByteString.EMPTY : last().getDigests(0).getSha256());
        answer.onNext(SampleResponse.newBuilder().setTrailer(trailer).build());
        answer.onCompleted();
      }
    }
  }
}
