// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client.jdbc;

import io.kohort.client.RowsUpload;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Types;
import java.time.Instant;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.OffsetDateTime;
import java.util.Locale;
import java.util.Set;
import java.util.function.Function;

/** The columns of a result set as columns of an upload. */
final class JdbcColumns {
  private static final int MAX_SCALE = 12;

  /** What drivers call it where the type's number does not tell. */
  private static final Set<String> ZONED =
      Set.of("timestamptz", "timestamp with time zone", "timestamp with local time zone", "datetimeoffset");

  private JdbcColumns() {}

  static void addAll(RowsUpload<ResultSet> upload, String table, ResultSetMetaData columns) throws SQLException {
    for (int i = 1; i <= columns.getColumnCount(); i++) {
      add(upload, columns, i, table + "." + columns.getColumnLabel(i));
    }
  }

  private static void add(RowsUpload<ResultSet> upload, ResultSetMetaData columns, int i, String where)
      throws SQLException {
    String name = columns.getColumnLabel(i);
    switch (type(columns, i)) {
      case Types.TINYINT:
      case Types.SMALLINT:
      case Types.INTEGER:
        upload.integer(name, cell(where, rows -> present(rows, rows.getLong(i))));
        break;
      case Types.BIGINT:
        if (columns.isSigned(i)) {
          upload.integer(name, cell(where, rows -> present(rows, rows.getLong(i))));
        } else {
          upload.integer(name, cell(where, rows -> whole(rows.getBigDecimal(i), where)));
        }
        break;
      case Types.NUMERIC:
      case Types.DECIMAL:
        numeric(upload, columns, i, where);
        break;
      case Types.REAL:
      case Types.FLOAT:
      case Types.DOUBLE:
        upload.number(name, cell(where, rows -> present(rows, rows.getDouble(i))));
        break;
      case Types.BOOLEAN:
        upload.bool(name, cell(where, rows -> present(rows, rows.getBoolean(i))));
        break;
      case Types.DATE:
        upload.date(name, cell(where, rows -> rows.getObject(i, LocalDate.class)));
        break;
      case Types.TIMESTAMP:
        upload.dateTime(name, cell(where, rows -> rows.getObject(i, LocalDateTime.class)));
        break;
      case Types.TIMESTAMP_WITH_TIMEZONE:
        upload.instant(name, "UTC", cell(where, rows -> instant(rows.getObject(i, OffsetDateTime.class))));
        break;
      case Types.CHAR:
        upload.text(name, cell(where, rows -> trimmed(rows.getString(i))));
        break;
      case Types.VARCHAR:
        upload.text(name, cell(where, rows -> rows.getString(i)));
        break;
      default:
        String what = columns.getColumnTypeName(i);
        throw new JdbcException(
            where, "columns of type " + what + " cannot be sent; cast it in the query or leave it out");
    }
  }

  /** The type, where several are read alike one of them. */
  private static int type(ResultSetMetaData columns, int i) throws SQLException {
    String name = String.valueOf(columns.getColumnTypeName(i)).toLowerCase(Locale.ROOT);
    if (isZoned(columns.getColumnType(i), name)) {
      return Types.TIMESTAMP_WITH_TIMEZONE;
    }
    switch (name) {
      case "uuid":
        return Types.VARCHAR;
      case "decfloat":
        return Types.DOUBLE;
      default:
    }
    switch (columns.getColumnType(i)) {
      case Types.BIT: // of several bits it is no truth value
        return columns.getPrecision(i) > 1 ? Types.OTHER : Types.BOOLEAN;
      case Types.NCHAR:
        return Types.CHAR;
      case Types.NVARCHAR:
      case Types.LONGVARCHAR:
      case Types.LONGNVARCHAR:
        return Types.VARCHAR;
      default:
        return columns.getColumnType(i);
    }
  }

  static boolean isZoned(int type, String name) {
    return type == Types.TIMESTAMP_WITH_TIMEZONE || ZONED.contains(name.toLowerCase(Locale.ROOT));
  }

  private static void numeric(RowsUpload<ResultSet> upload, ResultSetMetaData columns, int i, String where)
      throws SQLException {
    String name = columns.getColumnLabel(i);
    int scale = columns.getScale(i);
    boolean told = columns.getPrecision(i) > 0 && scale >= 0; // else every cell has a scale of its own
    if (!told || scale > MAX_SCALE) {
      upload.number(name, cell(where, rows -> rows.getBigDecimal(i)));
    } else if (scale == 0) {
      upload.integer(name, cell(where, rows -> whole(rows.getBigDecimal(i), where)));
    } else {
      upload.decimal(name, scale, cell(where, rows -> rows.getBigDecimal(i)));
    }
  }

  private static <C> C present(ResultSet rows, C cell) throws SQLException {
    return rows.wasNull() ? null : cell;
  }

  private static BigInteger whole(BigDecimal cell, String where) {
    try {
      return cell == null ? null : cell.toBigIntegerExact();
    } catch (ArithmeticException broken) {
      throw new JdbcException(where, "a number has digits after the point though its type has none");
    }
  }

  private static Instant instant(OffsetDateTime cell) {
    return cell == null ? null : cell.toInstant();
  }

  /** CHAR is filled up with blanks. */
  private static String trimmed(String cell) {
    return cell == null ? null : cell.stripTrailing();
  }

  private static <C> Function<ResultSet, C> cell(String where, Reader<C> reader) {
    return rows -> {
      try {
        return reader.read(rows);
      } catch (SQLException failed) {
        throw JdbcRows.failure(where, failed);
      }
    };
  }

  private interface Reader<C> {
    C read(ResultSet rows) throws SQLException;
  }
}
