// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import com.google.protobuf.Timestamp;
import io.kohort.v1.Dataset;
import io.kohort.v1.TableSchema;
import io.kohort.v1.UploadFormat;
import io.kohort.v1.UploadHeader;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.math.BigDecimal;
import java.time.Duration;
import java.time.Instant;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Objects;
import java.util.UUID;
import java.util.function.Function;

/**
 * An upload of rows that are objects here: each column is named with the function that gives its cells, or all of
 * them are taken from a class. Rows travel as typed columns, so nothing is guessed from text and no digit is lost.
 *
 * <pre>{@code
 * Dataset dataset =
 *     client.uploadRows("patients", patients)
 *         .text("id", Patient::id)
 *         .integer("age", Patient::age)
 *         .decimal("weight", Patient::weight)
 *         .subjectKey("id")
 *         .send();
 * }</pre>
 *
 * <p>The rows are read once, when {@link #send} is called, and wait until the server has them: the first 8 MiB in
 * memory, the rest in a temporary file that is encrypted with a key in memory and deleted at the end. From there the
 * upload is repeated when the connection breaks, always under one request id, and its digest is known before it
 * starts; memory stays bounded, however many rows there are.
 *
 * <p>A function that returns null makes a null cell. Declare a column once; the order is that of the columns. Not
 * for use by several threads.
 *
 * @param <T> what a row is
 */
public final class RowsUpload<T> {
  private final Connection connection;
  private final String table;
  private final TypedRows<T> rows;
  private final List<TypedRows<?>> tables = new ArrayList<>();
  private final UploadHeader.Builder header = UploadHeader.newBuilder();

  RowsUpload(Connection connection, String table, Iterator<? extends T> rows) {
    this.connection = connection;
    this.table = table;
    this.rows = new TypedRows<>(table, rows);
    tables.add(this.rows);
  }

  /**
   * A column of truth values.
   *
   * @param column its name
   * @param cell its cell of a row
   * @return this
   */
  public RowsUpload<T> bool(String column, Function<? super T, Boolean> cell) {
    return add(column, UploadColumns.bool(table, column), cell);
  }

  /**
   * A column of whole numbers that fit 64 bits. Of any class: a number that does not fit, or is not whole, is refused.
   *
   * @param column its name
   * @param cell its cell of a row
   * @return this
   */
  public RowsUpload<T> integer(String column, Function<? super T, ? extends Number> cell) {
    return add(column, UploadColumns.integer(table, column), cell);
  }

  /**
   * A column of binary floating-point numbers. NaN is a null cell.
   *
   * @param column its name
   * @param cell its cell of a row
   * @return this
   */
  public RowsUpload<T> number(String column, Function<? super T, ? extends Number> cell) {
    return add(column, UploadColumns.number(table, column), cell);
  }

  /**
   * A column of decimals with as many digits after the point as the cell that has the most, at most 12, and 18 in
   * all. Trailing zeros count.
   *
   * @param column its name
   * @param cell its cell of a row
   * @return this
   */
  public RowsUpload<T> decimal(String column, Function<? super T, BigDecimal> cell) {
    return add(column, new UploadDecimals(table, column), cell);
  }

  /**
   * A column of decimals with a fixed number of digits after the point. A cell that has more is refused.
   *
   * @param column its name
   * @param scale the digits after the point, 0 to 12
   * @param cell its cell of a row
   * @return this
   */
  public RowsUpload<T> decimal(String column, int scale, Function<? super T, BigDecimal> cell) {
    return add(column, UploadColumns.decimal(table, column, scale), cell);
  }

  /**
   * A column of strings of at most 1 MiB each, which travel as positions in a dictionary while they repeat.
   *
   * @param column its name
   * @param cell its cell of a row
   * @return this
   */
  public RowsUpload<T> text(String column, Function<? super T, ? extends CharSequence> cell) {
    return add(column, new UploadStrings(table, column), cell);
  }

  /**
   * A column of lists of strings, such as the codes of a visit.
   *
   * @param column its name
   * @param cell its cell of a row
   * @return this
   */
  public RowsUpload<T> texts(String column, Function<? super T, ? extends List<? extends CharSequence>> cell) {
    return add(column, new UploadStrings.Lists(table, column), cell);
  }

  /**
   * A column of calendar days.
   *
   * @param column its name
   * @param cell its cell of a row
   * @return this
   */
  public RowsUpload<T> date(String column, Function<? super T, LocalDate> cell) {
    return add(column, UploadColumns.date(table, column), cell);
  }

  /**
   * A column of local date-times. What is finer than microseconds is cut off.
   *
   * @param column its name
   * @param cell its cell of a row
   * @return this
   */
  public RowsUpload<T> dateTime(String column, Function<? super T, LocalDateTime> cell) {
    return add(column, UploadColumns.dateTime(table, column), cell);
  }

  /**
   * A column of instants. What is finer than microseconds is cut off.
   *
   * @param column its name
   * @param zone the IANA zone that they are read in, such as {@code Europe/Zurich} or {@code UTC}
   * @param cell its cell of a row
   * @return this
   */
  public RowsUpload<T> instant(String column, String zone, Function<? super T, Instant> cell) {
    if (zone.isEmpty()) {
      throw new IllegalArgumentException("a column of instants has a zone, such as UTC");
    }
    return add(column, UploadColumns.instant(table, column, zone), cell);
  }

  /**
   * A column of lengths of time. What is finer than microseconds is cut off.
   *
   * @param column its name
   * @param cell its cell of a row
   * @return this
   */
  public RowsUpload<T> duration(String column, Function<? super T, Duration> cell) {
    return add(column, UploadColumns.duration(table, column), cell);
  }

  /**
   * A column for every field of a class, in their order: the components of a record, or the fields of any other class
   * that are neither static nor transient. A column has the field's name, or that of {@link io.kohort.client.Column}.
   * Fields are primitives and their boxes, strings, enums, UUIDs, BigInteger, BigDecimal, LocalDate, LocalDateTime,
   * Instant, OffsetDateTime, ZonedDateTime (sent as instants of UTC), Duration and {@code List<String>}.
   *
   * @param type the class of the rows
   * @return this
   * @throws IllegalArgumentException a field has another type
   */
  public RowsUpload<T> columns(Class<? super T> type) {
    UploadFields.addAll(this, type);
    return this;
  }

  /**
   * Declares what is known of the table besides its cells: keys, the time column, its role and constraints, and of
   * columns their kind, handling, vocabulary, levels, bounds, unit and description. Storage, scale and time zone of a
   * column stay as the cells are.
   *
   * @param schema its columns are some of this upload's; its name is replaced
   * @return this
   */
  public RowsUpload<T> schema(TableSchema schema) {
    rows.declared = Objects.requireNonNull(schema);
    return this;
  }

  /**
   * Sends another table of the same dataset along, such as the visits of the patients.
   *
   * @param other with columns and keys of its own; what names, labels and ends the dataset is this upload's
   * @return this
   */
  public RowsUpload<T> and(RowsUpload<?> other) {
    tables.addAll(other.tables);
    return this;
  }

  /**
   * Names the column that identifies the patient, the unit of splitting and of privacy. Without one every row counts
   * as a patient.
   *
   * @param column a column of this upload
   * @return this
   */
  public RowsUpload<T> subjectKey(String column) {
    rows.subjectKey = Objects.requireNonNull(column);
    return this;
  }

  /**
   * Names the dataset for people.
   *
   * @param name at most 200 characters
   * @return this
   */
  public RowsUpload<T> displayName(String name) {
    header.setDisplayName(name);
    return this;
  }

  /**
   * Adds a label.
   *
   * @param key at most 63 characters
   * @param value at most 63 characters
   * @return this
   */
  public RowsUpload<T> label(String key, String value) {
    header.putLabels(key, value);
    return this;
  }

  /**
   * Sets when the server deletes the rows.
   *
   * @param time from now; the server caps it. Default: 7 days
   * @return this
   */
  public RowsUpload<T> expiresIn(Duration time) {
    Instant end = Instant.now().plus(time);
    header.setExpireTime(Timestamp.newBuilder().setSeconds(end.getEpochSecond()).setNanos(end.getNano()));
    return this;
  }

  /**
   * Has the server delete the rows once a model was trained on them.
   *
   * @return this
   */
  public RowsUpload<T> deleteAfterTraining() {
    header.setDeleteAfterTraining(true);
    return this;
  }

  /**
   * Sets the id that makes the upload safe to repeat for 24 hours, also from another process.
   *
   * @param id a UUID. Default: a new one
   * @return this
   */
  public RowsUpload<T> requestId(UUID id) {
    header.setRequestId(id.toString());
    return this;
  }

  /**
   * Reads all rows and uploads them. The client's timeout for transfers begins when all are read.
   *
   * @return what is stored
   * @throws InvalidRequestException a cell or column that cannot be sent, naming the column; or the server's refusal
   * @throws RpcException the call failed
   * @throws UncheckedIOException the temporary file failed
   * @throws NullPointerException a row itself is null
   * @throws IllegalStateException it was sent before
   */
  public Dataset send() {
    tables.forEach(TypedRows::claim);
    List<SpooledRows> spooled = new ArrayList<>();
    try {
      header.setFormat(UploadFormat.UPLOAD_FORMAT_COLUMNS);
      for (TypedRows<?> rows : tables) {
        SpooledRows table = rows.spool();
        spooled.add(table);
        rows.readInto(table);
        header.getSchemaBuilder().addTables(table.schema(rows.declared, rows.subjectKey));
        header.addDigests(table.digest());
      }
      return Uploads.send(connection, header.build(), () -> SpooledRows.messages(spooled));
    } catch (IOException failed) {
      throw new UncheckedIOException(failed);
    } finally {
      spooled.forEach(SpooledRows::close);
    }
  }

  RowsUpload<T> add(String name, UploadColumn column, Function<? super T, ?> cell) {
    rows.add(name, column, cell);
    return this;
  }

  String table() {
    return table;
  }
}
