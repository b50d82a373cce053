// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import io.grpc.MethodDescriptor;
import io.kohort.v1.RecordBatch;
import io.kohort.v1.SampleHeader;
import io.kohort.v1.SampleRequest;
import io.kohort.v1.SampleResponse;
import io.kohort.v1.SampleTrailer;
import io.kohort.v1.SamplingServiceGrpc;
import io.kohort.v1.TableSchema;
import java.security.MessageDigest;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Queue;

/**
 * Putting a sample together: what has arrived, whether it is whole, and from where to go on.
 *
 * <p>A batch is handed on once its units are complete in every table; what a break leaves incomplete is
 * forgotten and comes again. Every batch is compared with its own digest, every stream that ends with its
 * trailer.
 */
final class SampleState implements Resumable<SampleRequest, SampleResponse> {
  private final SampleRequest asked;
  private final Map<String, Layout> layouts = new LinkedHashMap<>();
  private final Queue<Batch> ready = new ArrayDeque<>();
  private SampleHeader header;
  private SampleTrailer trailer;
  private long next;
  private long end;

  // Of the stream that is open.
  private List<Batch> pending;
  private Dictionaries dictionaries;
  private ContentDigest digest;
  private Map<String, Long> rows;
  private long from;
  private int streams;

  /**
   * What was asked for; with an augmentation factor in place of a count, the header says how many units that
   * is.
   */
  SampleState(SampleRequest asked) {
    this.asked = asked;
    this.next = asked.getStartUnit();
    this.end = next + asked.getUnitCount();
  }

  @Override
  public MethodDescriptor<SampleRequest, SampleResponse> method() {
    return SamplingServiceGrpc.getSampleMethod();
  }

  /** Asks for the units that are missing, from a server that gives the same bytes. A new stream begins. */
  @Override
  public SampleRequest request() {
    pending = new ArrayList<>();
    dictionaries = new Dictionaries();
    digest = null;
    rows = new HashMap<>();
    from = next;
    streams++;
    if (header == null) {
      return asked;
    }
    return asked.toBuilder()
        .clearAugmentationFactor()
        .setStartUnit(next)
        .setUnitCount(end - next)
        .setSeed(header.getSeed())
        .setRuntimeFingerprint(header.getRuntimeFingerprint())
        .build();
  }

  /** Takes a message; IntegrityException when it does not fit what came before. */
  @Override
  public void receive(SampleResponse message) {
    if (trailer != null || message.hasHeader() != (digest == null)) {
      throw new IntegrityException("the sample's messages came in the wrong order");
    }
    switch (message.getPartCase()) {
      case HEADER:
        take(message.getHeader());
        break;
      case DICTIONARY:
        dictionaries.add(message.getDictionary());
        break;
      case BATCH:
        take(message.getBatch());
        break;
      case TRAILER:
        take(message.getTrailer());
        break;
      default: // a part of a later version, or a chunk of a file that nobody asked for
        throw new IntegrityException("the sample holds a message that was not asked for");
    }
  }

  /** The next batch that is complete; null when more must arrive first. */
  Batch poll() {
    return ready.poll();
  }

  boolean nothingReady() {
    return ready.isEmpty();
  }

  /** The server ended the stream well; IntegrityException when it did so without a trailer. */
  @Override
  public boolean ended() {
    if (trailer == null) {
      throw new IntegrityException("the sample ended without its trailer: it is incomplete");
    }
    return true;
  }

  /** Whether every unit was handed on; a break before the trailer costs nothing then. */
  @Override
  public boolean complete() {
    return header != null && next == end;
  }

  /** The first header; null before it. */
  SampleHeader header() {
    return header;
  }

  /** The trailer; null before it, and where the last stream broke after its last unit. */
  SampleTrailer trailer() {
    return trailer;
  }

  /** The tables, in order; empty before the header. */
  Collection<Layout> layouts() {
    return layouts.values();
  }

  int streams() {
    return streams;
  }

  private void take(SampleHeader message) {
    if (header == null && asked.hasAugmentationFactor()) {
      end = next + message.getUnitCount();
    }
    if (message.getStartUnit() != next || message.getUnitCount() != end - next) {
      throw new IntegrityException("the sample's header announces other units than were asked for");
    }
    if (header == null) {
      header = message;
      for (TableSchema table : message.getSchema().getTablesList()) {
        layouts.put(table.getName(), new Layout(table));
      }
    } else if (!header.getContentDigest().equals(message.getContentDigest())
        || header.getSeed() != message.getSeed()
        || !header.getRuntimeFingerprint().equals(message.getRuntimeFingerprint())) {
      throw new IntegrityException("the resumed sample stems from another model, seed or runtime");
    }
    digest = new ContentDigest(layouts.values());
  }

  private void take(RecordBatch message) {
    Layout layout = layouts.get(message.getTable());
    if (layout == null) {
      throw new IntegrityException("the sample holds rows of a table that its header does not name");
    }
    Cells[] cells = Decoder.decode(message, layout, dictionaries);
    byte[] expected = message.getDigest().toByteArray();
    if (!Arrays.equals(digest.add(layout.table(), cells, message.getRowCount()), expected)) {
      throw new IntegrityException(
          "DIGEST_MISMATCH: " + layout.table() + ": a record batch does not have the digest it came with");
    }
    long reached = message.getNextUnit();
    if (reached < next || reached > end) {
      throw new IntegrityException("the sample's units came in the wrong order");
    }
    rows.merge(layout.table(), (long) message.getRowCount(), Long::sum);
    pending.add(new Batch(layout, message, cells));
    if (reached > next) {
      next = reached;
      ready.addAll(pending);
      pending.clear();
    }
  }

  private void take(SampleTrailer message) {
    if (!pending.isEmpty() || next != end || message.getUnitCount() != end - from) {
      throw new IntegrityException("the sample has fewer units than its trailer says");
    }
    if (!withoutZeros(message.getRowCountsMap()).equals(withoutZeros(rows))) {
      throw new IntegrityException("the sample has not the rows that its trailer says");
    }
    if (!MessageDigest.isEqual(digest.digest(), message.getDigest().toByteArray())) {
      throw new IntegrityException("the sample's rows do not have the digest of its trailer");
    }
    trailer = message;
  }

  private static Map<String, Long> withoutZeros(Map<String, Long> counts) {
    Map<String, Long> copy = new HashMap<>(counts);
    copy.values().removeIf(count -> count == 0);
    return copy;
  }
}
