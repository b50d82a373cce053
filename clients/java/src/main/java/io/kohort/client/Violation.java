// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import java.io.Serializable;
import java.util.Objects;

/** A field of a request, or a column of the data, that breaks a rule. Immutable. */
public final class Violation implements Serializable {
  private static final long serialVersionUID = 1;

  private final String field;
  private final String description;

  Violation(String field, String description) {
    this.field = Objects.requireNonNull(field);
    this.description = Objects.requireNonNull(description);
  }

  /**
   * What is at fault.
   *
   * @return a path such as {@code parameters.epochs}, or {@code table.column}
   */
  public String field() {
    return field;
  }

  /**
   * The rule it breaks, for people; holds no cell value.
   *
   * @return the description
   */
  public String description() {
    return description;
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof Violation
        && field.equals(((Violation) other).field)
        && description.equals(((Violation) other).description);
  }

  @Override
  public int hashCode() {
    return Objects.hash(field, description);
  }

  @Override
  public String toString() {
    return field + ": " + description;
  }
}
