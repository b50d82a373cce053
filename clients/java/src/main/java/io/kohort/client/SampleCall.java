// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import io.kohort.v1.Condition;
import io.kohort.v1.Rebalancing;
import io.kohort.v1.SampleFormat;
import io.kohort.v1.SampleRequest;
import io.kohort.v1.ValueRange;
import io.kohort.v1.ValueSet;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Flow;

/**
 * A sample that is being asked for: how many units, and what their rows are to be like. Changes itself and
 * returns itself; for one thread.
 *
 * <p>Unit i of (model, seed, conditions) is always the same: {@link #startUnit} goes on where an earlier
 * sample of the same seed ended. Values of conditions are Boolean, numbers, String or an enum constant (its
 * name), LocalDate, LocalDateTime, Instant, OffsetDateTime, ZonedDateTime or Duration, whichever the column
 * holds; others throw {@link IllegalArgumentException}.
 */
public final class SampleCall {
  private static final long MAX_UNITS = 1L << 53;

  private final Connection connection;
  private final SampleRequest.Builder request;
  private Duration timeout;
  private String table = "";

  SampleCall(Connection connection, String model) {
    this.connection = connection;
    this.timeout = connection.timeouts().transfer();
    this.request =
        SampleRequest.newBuilder().setModel(model).setFormat(SampleFormat.SAMPLE_FORMAT_COLUMNS);
  }

  /**
   * How many units: patients where the model models patients, else rows. Needed, unless
   * {@link #augmentationFactor} says it.
   *
   * @param units at least 1
   * @return this
   */
  public SampleCall units(long units) {
    if (units < 1) {
      throw new IllegalArgumentException("units must be at least 1");
    }
    request.setUnitCount(units);
    return this;
  }

  /**
   * Instead of {@link #units}: so many units per training row. The header says how many that is.
   *
   * @param factor above 0, at most 1000
   * @return this
   */
  public SampleCall augmentationFactor(double factor) {
    request.setAugmentationFactor(factor);
    return this;
  }

  /**
   * The first unit.
   *
   * @param unit 0, the default, to 2^53
   * @return this
   */
  public SampleCall startUnit(long unit) {
    request.setStartUnit(unit);
    return this;
  }

  /**
   * Makes the sample repeatable. By default the server draws a seed; the header tells it.
   *
   * @param seed any number
   * @return this
   */
  public SampleCall seed(long seed) {
    request.setSeed(seed);
    return this;
  }

  /**
   * Names the table of the columns that conditions and shares from here on name. Needed where the model has
   * several.
   *
   * @param table its name
   * @return this
   */
  public SampleCall table(String table) {
    this.table = table;
    return this;
  }

  /**
   * Every row has this value.
   *
   * @param column the column
   * @param value null for {@link #isNull}
   * @return this
   */
  public SampleCall where(String column, Object value) {
    return value == null ? isNull(column) : oneOf(column, List.of(value));
  }

  /**
   * Every row has one of these values.
   *
   * @param column the column
   * @param values at least one
   * @return this
   */
  public SampleCall oneOf(String column, Collection<?> values) {
    if (values.isEmpty()) {
      throw new IllegalArgumentException(column + ": a set of values is empty");
    }
    ValueSet.Builder set = ValueSet.newBuilder();
    values.forEach(value -> set.addValues(Values.text(column, value)));
    request.addConditions(on(column).setOneOf(set));
    return this;
  }

  /**
   * Every row has one of these values.
   *
   * @param column the column
   * @param values at least one
   * @return this
   */
  public SampleCall oneOf(String column, Object... values) {
    return oneOf(column, List.of(values));
  }

  /**
   * Every row has a value, no null, in this range.
   *
   * @param column of numbers, dates or times
   * @param lowest inclusive; null for no bound
   * @param highest inclusive; null for no bound, but not both
   * @return this
   */
  public SampleCall between(String column, Object lowest, Object highest) {
    if (lowest == null && highest == null) {
      throw new IllegalArgumentException(column + ": a range needs a bound: see notNull");
    }
    ValueRange.Builder range = ValueRange.newBuilder();
    if (lowest != null) {
      range.setMinimum(Values.text(column, lowest));
    }
    if (highest != null) {
      range.setMaximum(Values.text(column, highest));
    }
    request.addConditions(on(column).setRange(range));
    return this;
  }

  /**
   * Every row has null.
   *
   * @param column the column
   * @return this
   */
  public SampleCall isNull(String column) {
    request.addConditions(on(column).setIsNull(true));
    return this;
  }

  /**
   * Every row has a value.
   *
   * @param column the column
   * @return this
   */
  public SampleCall notNull(String column) {
    request.addConditions(on(column).setIsNull(false));
    return this;
  }

  /**
   * Draws the values of one column in these shares instead of the learned ones. Values that are not named are
   * not drawn.
   *
   * @param column the column; a second call replaces the first
   * @param shares weights by value, at least one above 0; divided by their sum
   * @return this
   */
  public SampleCall rebalance(String column, Map<?, ? extends Number> shares) {
    Rebalancing.Builder rebalancing = Rebalancing.newBuilder().setTable(table).setColumn(column);
    shares.forEach((value, share) -> rebalancing.putShares(Values.text(column, value), share.doubleValue()));
    request.setRebalancing(rebalancing);
    return this;
  }

  /**
   * Flattens (above 1) or sharpens (below 1) what the model draws from.
   *
   * @param temperature from 0.1 to 5; 1 by default
   * @return this
   */
  public SampleCall temperature(double temperature) {
    request.setTemperature(temperature);
    return this;
  }

  /**
   * Draws from the fewest values that together have this probability.
   *
   * @param probability above 0, at most 1, the default
   * @return this
   */
  public SampleCall topP(double probability) {
    request.setTopP(probability);
    return this;
  }

  /**
   * How often a unit is drawn at most until it meets conditions and constraints.
   *
   * @param attempts from 1 to 100,000; 1000 by default
   * @return this
   */
  public SampleCall maxAttempts(int attempts) {
    request.setMaxAttempts(attempts);
    return this;
  }

  /**
   * A wish for smaller batches.
   *
   * @param rows at most so many per batch; 0, the default, lets the server choose
   * @return this
   */
  public SampleCall maxBatchRows(int rows) {
    request.setMaxBatchRows(rows);
    return this;
  }

  /**
   * Limits all of it: tries, the waits between them, and the reader's own time.
   *
   * @param timeout null for no limit; by default that of {@link Timeouts#transfer}
   * @return this
   */
  public SampleCall timeout(Duration timeout) {
    this.timeout = timeout;
    return this;
  }

  /**
   * Asks for the rows and waits until the server begins to send. What was asked may be changed and opened
   * again.
   *
   * @return to be closed by the caller
   * @throws NotFoundException no such model
   * @throws ConditionUnsupportedException the model cannot do what is asked
   * @throws CohortTooSmallException too few training patients met the conditions
   * @throws ModelLockedException the release policy, or a custodian, keeps its rows in the house
   * @throws RpcException the call failed otherwise
   * @throws IllegalArgumentException neither or both of {@link #units} and {@link #augmentationFactor}, or a
   *     range of units that cannot be
   */
  public Sample open() {
    return new Sample(connection, checked(), timeout).await();
  }

  /**
   * Asks for the rows and writes them to a CSV file, as {@link Sample#writeCsv(Path)} does.
   *
   * @param file replaced if it exists
   * @return rows written
   * @throws RpcException as {@link #open}
   * @throws java.io.UncheckedIOException the file cannot be written
   */
  public long writeCsv(Path file) {
    try (Sample sample = open()) {
      return sample.writeCsv(file);
    }
  }

  /**
   * The rows without a waiting thread of the caller's: each subscriber has a call of its own, and as many
   * batches are handed to it as it asked for. Cancelling the subscription ends the call at the server at
   * once. What {@link #open} and reading would throw comes by {@code onError}.
   *
   * @return of what is asked for now; later changes do not matter to it
   * @throws IllegalArgumentException as {@link #open}
   */
  public Flow.Publisher<Batch> publisher() {
    SampleRequest asked = checked();
    Duration limit = timeout;
    return new SamplePublisher(() -> new Sample(connection, asked, limit), connection.executor());
  }

  private Condition.Builder on(String column) {
    return Condition.newBuilder().setTable(table).setColumn(column);
  }

  private SampleRequest checked() {
    boolean counted = request.getUnitCount() > 0;
    if (counted == request.hasAugmentationFactor()) {
      throw new IllegalArgumentException("say how many: either units or augmentationFactor");
    }
    if (request.getUnitCount() > MAX_UNITS - Math.max(0, request.getStartUnit())) {
      throw new IllegalArgumentException("startUnit and units together must be at most 2^53");
    }
    return request.build();
  }
}
