// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client.jdbc;

import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.util.LinkedHashSet;
import java.util.Locale;
import java.util.Set;

/** Names as a database has them, and as its SQL quotes them. */
final class JdbcNames {
  private final DatabaseMetaData database;
  private final String quote;

  JdbcNames(DatabaseMetaData database) throws SQLException {
    this.database = database;
    String quote = database.getIdentifierQuoteString();
    this.quote = quote == null ? "" : quote.trim(); // a blank means that there are no quotes
  }

  String quoted(String name) {
    if (quote.isEmpty() && !name.matches("[A-Za-z_][A-Za-z0-9_]*")) {
      throw new JdbcException(name, "this database quotes no names, so it must be one of letters, digits and _");
    }
    return quote + (quote.isEmpty() ? name : name.replace(quote, quote + quote)) + quote;
  }

  /** A table in SQL: exactly as named where there is one, else in the case in which the database keeps names. */
  String table(Connection connection, String schema, String table) throws SQLException {
    String in = schema == null ? connection.getSchema() : schema;
    String found = table;
    for (String name : cases(table)) {
      if (exists(connection.getCatalog(), in, name)) {
        found = name;
        break;
      }
    }
    return (schema == null ? "" : quoted(schema) + ".") + quoted(found);
  }

  private static Set<String> cases(String name) {
    Set<String> cases = new LinkedHashSet<>();
    cases.add(name);
    cases.add(name.toUpperCase(Locale.ROOT));
    cases.add(name.toLowerCase(Locale.ROOT));
    return cases;
  }

  private boolean exists(String catalog, String schema, String table) throws SQLException {
    try (ResultSet tables = database.getTables(catalog, pattern(schema), pattern(table), null)) {
      return tables.next();
    }
  }

  /** The name as a pattern that matches it alone. */
  private String pattern(String name) throws SQLException {
    String escape = database.getSearchStringEscape();
    if (name == null || escape == null || escape.isEmpty()) {
      return name;
    }
    return name.replace(escape, escape + escape).replace("_", escape + "_").replace("%", escape + "%");
  }

  /** Where a column stands: of exactly that name, else of the only one that differs in case alone. */
  int position(ResultSetMetaData columns, String table, String name) throws SQLException {
    int found = 0;
    int alike = 0;
    for (int i = 1; i <= columns.getColumnCount(); i++) {
      String there = columns.getColumnName(i);
      if (there.equals(name)) {
        return i;
      }
      if (there.equalsIgnoreCase(name)) {
        found = i;
        alike++;
      }
    }
    if (alike != 1) {
      String none = "there is no such column: column(…) names another, skip(…) leaves it out";
      String why = alike == 0 ? none : "several columns are alike";
      throw new JdbcException(table + "." + name, why);
    }
    return found;
  }
}
