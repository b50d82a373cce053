// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client.jdbc;

import java.math.BigDecimal;
import java.math.RoundingMode;
import java.sql.PreparedStatement;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Types;
import java.time.Duration;
import java.time.Instant;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.ZoneOffset;
import java.util.List;

/** Sets the cells of one column of a table, fitted to its type. */
final class JdbcCell {
  private final int type;
  private final String where;

  private JdbcCell(int type, String where) {
    this.type = type;
    this.where = where;
  }

  static JdbcCell of(ResultSetMetaData columns, int i, String where) throws SQLException {
    int type = columns.getColumnType(i);
    boolean zoned = JdbcColumns.isZoned(type, String.valueOf(columns.getColumnTypeName(i)));
    return new JdbcCell(zoned ? Types.TIMESTAMP_WITH_TIMEZONE : type, where);
  }

  /** A cell of a sample, or null. */
  void set(PreparedStatement into, int i, Object cell) throws SQLException {
    if (cell == null) {
      into.setNull(i, type);
    } else if (cell instanceof List) {
      throw new JdbcException(where, "lists have no column type in every database; skip the column");
    } else if (isText()) {
      into.setString(i, text(cell));
    } else if (isNumber()) {
      number(into, i, cell);
    } else {
      other(into, i, cell);
    }
  }

  private void number(PreparedStatement into, int i, Object cell) throws SQLException {
    if (cell instanceof Boolean) {
      into.setInt(i, (Boolean) cell ? 1 : 0);
    } else if (cell instanceof Long) {
      into.setLong(i, (Long) cell);
    } else if (cell instanceof Double) {
      into.setDouble(i, (Double) cell);
    } else if (cell instanceof BigDecimal) {
      into.setBigDecimal(i, (BigDecimal) cell);
    } else if (cell instanceof Duration) {
      into.setBigDecimal(i, seconds((Duration) cell));
    } else {
      into.setObject(i, cell);
    }
  }

  private void other(PreparedStatement into, int i, Object cell) throws SQLException {
    if (cell instanceof Boolean) {
      into.setBoolean(i, (Boolean) cell);
    } else if (cell instanceof Long && (type == Types.BOOLEAN || type == Types.BIT)) {
      into.setBoolean(i, (Long) cell != 0);
    } else if (cell instanceof Instant) {
      boolean zoned = type == Types.TIMESTAMP_WITH_TIMEZONE;
      Instant time = (Instant) cell;
      into.setObject(i, zoned ? time.atOffset(ZoneOffset.UTC) : LocalDateTime.ofInstant(time, ZoneOffset.UTC));
    } else if (cell instanceof LocalDateTime && type == Types.TIMESTAMP_WITH_TIMEZONE) {
      into.setObject(i, ((LocalDateTime) cell).atOffset(ZoneOffset.UTC));
    } else if (cell instanceof LocalDate && type != Types.DATE) {
      into.setObject(i, ((LocalDate) cell).atStartOfDay());
    } else if (cell instanceof String && type == Types.OTHER) {
      into.setObject(i, cell, type); // PostgreSQL: lets the server read it, as a uuid for one
    } else {
      into.setObject(i, cell);
    }
  }

  private static String text(Object cell) {
    return cell instanceof BigDecimal ? ((BigDecimal) cell).toPlainString() : cell.toString();
  }

  private static BigDecimal seconds(Duration length) {
    BigDecimal whole = BigDecimal.valueOf(length.getSeconds());
    return whole.add(BigDecimal.valueOf(length.getNano(), 9)).setScale(6, RoundingMode.FLOOR);
  }

  private boolean isText() {
    switch (type) {
      case Types.CHAR:
      case Types.VARCHAR:
      case Types.LONGVARCHAR:
      case Types.NCHAR:
      case Types.NVARCHAR:
      case Types.LONGNVARCHAR:
      case Types.CLOB:
      case Types.NCLOB:
        return true;
      default:
        return false;
    }
  }

  private boolean isNumber() {
    switch (type) {
      case Types.TINYINT:
      case Types.SMALLINT:
      case Types.INTEGER:
      case Types.BIGINT:
      case Types.NUMERIC:
      case Types.DECIMAL:
      case Types.REAL:
      case Types.FLOAT:
      case Types.DOUBLE:
        return true;
      default:
        return false;
    }
  }
}
