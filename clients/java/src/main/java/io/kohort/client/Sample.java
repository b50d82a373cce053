// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import io.kohort.v1.SampleHeader;
import io.kohort.v1.SampleRequest;
import io.kohort.v1.SampleTrailer;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Iterator;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.Optional;
import java.util.Spliterator;
import java.util.Spliterators;
import java.util.function.Function;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;

/**
 * Synthetic rows as they arrive: read once, in one of the forms below, then closed.
 *
 * <p>The server waits while the reader is busy; at most two batches lie ready, so memory stays bounded at any
 * length. Every batch was compared with its digest before it is handed on, and the end of the stream with its
 * trailer: reading ends without an exception only when all rows came, unaltered. A stream that breaks goes on
 * at the first unit that is missing, within the timeout of the call. {@link #close} ends the call at the
 * server at once, wherever it stands.
 *
 * <p>Reading throws {@link IntegrityException} when rows are incomplete or altered,
 * {@link ConditionUnsatisfiedException} when a unit could not be drawn (the rows before it are good), any
 * other {@link RpcException} when the call failed, and {@link IllegalStateException} after {@link #close}.
 * For one thread at a time; only {@code close} is for any.
 */
public final class Sample implements AutoCloseable, Iterable<Row> {
  private final SampleState state;
  private final Following<SampleRequest, ?> stream;
  private final Iterator<Batch> batches = new Batches();
  private volatile boolean closed;
  private boolean read;

  /** Opens the call; {@link #await} waits for its header. */
  Sample(Connection connection, SampleRequest asked, Duration timeout) {
    state = new SampleState(asked);
    stream = new Following<>(connection, connection.attempts(timeout), state);
  }

  /** Waits for the header. */
  Sample await() {
    while (state.header() == null && step()) {
      continue;
    }
    return this;
  }

  /**
   * Where the rows come from: the model, the seed in use, the schema, what is promised about privacy.
   *
   * @return the header of the first stream
   */
  public SampleHeader header() {
    return state.header();
  }

  /**
   * What the server said at the end: of the last stream alone, where one was resumed.
   *
   * @return empty before the end, and where the connection broke between the last row and the trailer
   */
  public Optional<SampleTrailer> trailer() {
    return Optional.ofNullable(state.trailer());
  }

  /**
   * How many streams it took.
   *
   * @return 1, and 1 more for each resume
   */
  public int streams() {
    return state.streams();
  }

  /**
   * The rows batch by batch, as typed columns: the fast way.
   *
   * @return to be iterated over once, in place of {@link #iterator}; tables may alternate. Once all was read, asking
   *     for another iterator is an {@link IllegalStateException}
   */
  public Iterable<Batch> batches() {
    return this::unread;
  }

  /**
   * The rows one by one; of several tables in the order in which they come.
   *
   * @return always the same iterator's rest: a sample is read once
   * @throws IllegalStateException all was read
   */
  @Override
  public Iterator<Row> iterator() {
    return new Flat<>(unread(), Batch::iterator);
  }

  /**
   * The rows one by one, as a sequential stream.
   *
   * @return closing it closes the sample
   */
  public Stream<Row> stream() {
    int traits = Spliterator.ORDERED | Spliterator.NONNULL;
    Spliterator<Row> rows = Spliterators.spliteratorUnknownSize(iterator(), traits);
    return StreamSupport.stream(rows, false).onClose(this::close);
  }

  /**
   * The rows as objects of a class.
   *
   * <p>A record takes a column for each component; a class with one constructor that has parameters, for each
   * of them (named by {@link Column}, or as they are where it was compiled with {@code -parameters}); any
   * other class is made by its constructor without parameters and takes a column for each setter, or field
   * without one, that is neither static nor transient nor final. A column has exactly the name of the
   * component, parameter, property or field, or what {@link Column} says. Columns that nothing takes are left
   * out. Private classes and members will do.
   *
   * <p>Cells become: booleans {@code boolean}; integers {@code long}, {@code int}, {@code short},
   * {@code byte} (which must hold them), {@code double}, BigDecimal; doubles {@code double}, {@code float};
   * decimals BigDecimal, {@code double}, {@code float}; strings String or the enum constant of that name;
   * dates LocalDate; date-times without a time zone LocalDateTime, with one Instant, OffsetDateTime (UTC) or
   * ZonedDateTime (the column's zone); durations Duration; lists {@code List<String>} or {@code String[]};
   * all of them Object, as {@link Batch#value} has it. Null is null, which primitives refuse. How a class is
   * filled is worked out once.
   *
   * @param <T> the class
   * @param type a record or another class
   * @return to be iterated over once; throws {@link MappingException} for a cell that does not fit
   * @throws MappingException the class does not fit the columns
   * @throws IllegalStateException the model has several tables: see {@link Batch#as}
   */
  public <T> Iterable<T> as(Class<T> type) {
    single();
    RowMapper<T> mapper = state.layouts().iterator().next().mapper(type);
    return () -> new Flat<>(unread(), batch -> mapper.rows(batch));
  }

  /**
   * Writes all rows as CSV: RFC 4180 in UTF-8, the same text that the server's own CSV has. Null is an empty
   * cell, an empty string {@code ""}. The file appears when it is whole, or not at all; a file beside it,
   * {@code NAME.provenance.json}, says where the rows come from and that they are synthetic.
   *
   * @param file replaced if it exists
   * @return rows written
   * @throws UncheckedIOException the file cannot be written
   * @throws IllegalStateException the model has several tables: see {@link #writeCsv(Function)}
   */
  public long writeCsv(Path file) {
    single();
    return CsvFile.write(this, file);
  }

  /**
   * Writes all rows as CSV text, lines ending in CR LF.
   *
   * @param out flushed or closed by the caller
   * @return rows written
   * @throws UncheckedIOException it cannot be written to
   * @throws IllegalStateException the model has several tables: see {@link #writeCsv(Function)}
   */
  public long writeCsv(Appendable out) {
    single();
    return writeCsv(table -> out);
  }

  /**
   * Writes the rows of each table as CSV text.
   *
   * @param outs where a table's text goes, by its name; asked once for each table, before the first row
   * @return rows written, of all tables together
   * @throws UncheckedIOException one cannot be written to
   */
  public long writeCsv(Function<String, ? extends Appendable> outs) {
    Iterator<Batch> left = unread();
    CsvTables csv = new CsvTables(state.layouts(), outs);
    long rows = 0;
    while (left.hasNext()) {
      Batch batch = left.next();
      csv.write(batch);
      rows += batch.rowCount();
    }
    return rows;
  }

  /** Ends the call at the server at once, if it is not over; safe to repeat, and from any thread. */
  @Override
  public void close() {
    closed = true;
    stream.close();
  }

  /** The next batch, waited for; null after the last one. */
  Batch next() {
    while (true) {
      Batch batch = state.poll();
      if (closed) {
        throw new IllegalStateException("the sample is closed");
      }
      if (batch != null || !step()) {
        read = batch == null;
        return batch;
      }
    }
  }

  /** Whether every batch was handed on, so that only the trailer is left. */
  boolean handedOn() {
    return state.complete() && state.nothingReady();
  }

  /** What is left to be read. A second loop would find nothing, and look well. */
  private Iterator<Batch> unread() {
    if (read) {
      throw new IllegalStateException("the sample was read to its end, which can be done once: open another");
    }
    return batches;
  }

  private boolean step() {
    boolean more = stream.step();
    if (!more && closed) {
      throw new IllegalStateException("the sample is closed");
    }
    return more;
  }

  private void single() {
    List<String> tables = state.layouts().stream().map(Layout::table).collect(Collectors.toList());
    if (tables.size() != 1) {
      throw new IllegalStateException(
          "the model has several tables (" + String.join(", ", tables) + "): read its batches");
    }
  }

  private final class Batches extends Lookahead<Batch> {
    @Override
    Batch fetch() {
      return Sample.this.next();
    }
  }

  /** What every batch gives, one after another. */
  private static final class Flat<T> implements Iterator<T> {
    private final Iterator<Batch> batches;
    private final Function<Batch, Iterator<T>> of;
    private Iterator<T> now;

    Flat(Iterator<Batch> batches, Function<Batch, Iterator<T>> of) {
      this.batches = batches;
      this.of = of;
    }

    @Override
    public boolean hasNext() {
      while (now == null || !now.hasNext()) {
        if (!batches.hasNext()) {
          return false;
        }
        now = of.apply(batches.next());
      }
      return true;
    }

    @Override
    public T next() {
      if (!hasNext()) {
        throw new NoSuchElementException();
      }
      return now.next();
    }
  }
}
