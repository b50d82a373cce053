// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.fake;

import com.google.protobuf.ByteString;
import io.kohort.v1.Column;
import io.kohort.v1.ColumnData;
import io.kohort.v1.Int64Values;
import io.kohort.v1.RecordBatch;
import io.kohort.v1.SampleHeader;
import io.kohort.v1.SampleRequest;
import io.kohort.v1.SampleResponse;
import io.kohort.v1.SampleTrailer;
import io.kohort.v1.Schema;
import io.kohort.v1.Storage;
import io.kohort.v1.TableSchema;
import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.Collections;
import java.util.Iterator;
import java.util.List;

/** Streams of one table, "long", of one column, "n", that is zero throughout. */
public final class Streams {
  /** Rows, and units, of a batch: 1 MiB. */
  public static final int ROWS = 1 << 17;

  private static final ByteString DIGEST = digest();

  private Streams() {}

  /** Batches without an end. */
  public static Iterator<SampleResponse> endless(SampleRequest request) {
    Int64Values zeros = Int64Values.newBuilder().addAllValues(Collections.nCopies(ROWS, 0L)).build();
    RecordBatch batch =
        RecordBatch.newBuilder()
            .setTable("long")
            .setRowCount(ROWS)
            .addColumns(ColumnData.newBuilder().setInt64S(zeros))
            .setDigest(DIGEST)
            .build();
    return new Iterator<>() {
      private long unit = -ROWS;

      @Override
      public boolean hasNext() {
        return true;
      }

      @Override
      public SampleResponse next() {
        unit += ROWS;
        if (unit == 0) {
          return header(request);
        }
        RecordBatch next = batch.toBuilder().setFirstUnit(unit - ROWS).setNextUnit(unit).build();
        return SampleResponse.newBuilder().setBatch(next).build();
      }
    };
  }

  /** One batch and the trailer, for requests of {@link #ROWS} units. */
  public static Iterator<SampleResponse> ending(SampleRequest request) {
    Iterator<SampleResponse> all = endless(request);
    SampleTrailer trailer =
        SampleTrailer.newBuilder().setUnitCount(ROWS).putRowCounts("long", ROWS).setDigest(DIGEST).build();
    return List.of(all.next(), all.next(), SampleResponse.newBuilder().setTrailer(trailer).build()).iterator();
  }

  /** A header, and then nothing for ever. */
  public static Iterator<SampleResponse> stalled(SampleRequest request) {
    Iterator<SampleResponse> header = Collections.singleton(header(request)).iterator();
    return new Iterator<>() {
      @Override
      public boolean hasNext() {
        if (!header.hasNext()) {
          throw new FakeSampling.Stall();
        }
        return true;
      }

      @Override
      public SampleResponse next() {
        return header.next();
      }
    };
  }

  private static SampleResponse header(SampleRequest request) {
    TableSchema.Builder table =
        TableSchema.newBuilder()
            .setName("long")
            .addColumns(Column.newBuilder().setName("n").setStorage(Storage.STORAGE_INT64));
    SampleHeader header =
        SampleHeader.newBuilder()
            .setModel(request.getModel())
            .setSeed(request.getSeed())
            .setStartUnit(request.getStartUnit())
            .setUnitCount(request.getUnitCount())
            .setSchema(Schema.newBuilder().addTables(table))
            .build();
    return SampleResponse.newBuilder().setHeader(header).build();
  }

  private static ByteString digest() {
    byte[] valid = new byte[ROWS];
    Arrays.fill(valid, (byte) 1);
    byte[] both = ByteBuffer.allocate(64).put(sha256(valid)).put(sha256(new byte[8 * ROWS])).array();
    return ByteString.copyFrom(sha256(sha256(both)));
  }

  private static byte[] sha256(byte[] bytes) {
    try {
      return MessageDigest.getInstance("SHA-256").digest(bytes);
    } catch (NoSuchAlgorithmException impossible) {
      throw new IllegalStateException(impossible);
    }
  }
}
