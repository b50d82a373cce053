// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import io.kohort.v1.Column;
import io.kohort.v1.TableSchema;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.stream.Collectors;

/** The columns of a table by name; one for all batches of a sample. */
final class Layout {
  final TableSchema schema;
  private final Map<String, Integer> positions = new HashMap<>();
  private final Map<Class<?>, RowMapper<?>> mappers = new ConcurrentHashMap<>();

  Layout(TableSchema schema) {
    this.schema = schema;
    for (int i = 0; i < schema.getColumnsCount(); i++) {
      positions.put(schema.getColumns(i).getName(), i);
    }
  }

  String table() {
    return schema.getName();
  }

  int width() {
    return schema.getColumnsCount();
  }

  Column column(int position) {
    return schema.getColumns(position);
  }

  boolean has(String column) {
    return positions.containsKey(column);
  }

  /** Where a column stands; throws IllegalArgumentException when there is none of that name. */
  int position(String column) {
    Integer position = positions.get(column);
    if (position == null) {
      throw new IllegalArgumentException(
          schema.getName() + " has no column " + column + "; it has " + names());
    }
    return position;
  }

  /** How rows become objects of a class; worked out once. */
  @SuppressWarnings("unchecked") // the key is the class that the mapper was made for
  <T> RowMapper<T> mapper(Class<T> type) {
    return (RowMapper<T>) mappers.computeIfAbsent(type, key -> RowMapper.of(key, this));
  }

  private String names() {
    return schema.getColumnsList().stream().map(Column::getName).collect(Collectors.joining(", "));
  }
}
