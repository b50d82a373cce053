// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client.jdbc;

import io.kohort.client.KohortClient;
import io.kohort.client.RowsUpload;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;

/**
 * Patients from a database, and synthetic ones back into it.
 *
 * <pre>{@code
 * try (ResultSet rows = statement.executeQuery("SELECT id, born, sex, weight FROM patients")) {
 *   dataset = Jdbc.upload(client, "patients", rows).subjectKey("ID").send();
 * }
 * …
 * try (Sample sample = client.sample(model.getName()).units(1000).open()) {
 *   Jdbc.insert(connection).into("synthetic_patients").write(sample);
 * }
 * }</pre>
 */
public final class Jdbc {
  private Jdbc() {}

  /**
   * Prepares the upload of what is left of a result set. Its columns follow from the types that the driver tells:
   *
   * <ul>
   *   <li>TINYINT, SMALLINT, INTEGER, BIGINT, and NUMERIC or DECIMAL without digits after the point: whole numbers;
   *   <li>NUMERIC and DECIMAL with up to 12 digits after the point: decimals, exactly;
   *   <li>REAL, FLOAT, DOUBLE, and NUMERIC with more digits or without precision: floating-point numbers;
   *   <li>BOOLEAN and BIT: truth values;
   *   <li>DATE; TIMESTAMP as local date-times, TIMESTAMP WITH TIME ZONE as instants of UTC;
   *   <li>CHAR (without the blanks at its end), VARCHAR, LONGVARCHAR and their N forms, and UUID: strings.
   * </ul>
   *
   * <p>NULL is a null cell. Columns have their labels, so {@code SELECT … AS} names them. {@link RowsUpload#send} then
   * reads the rows one after another; whether all of them stand in memory is for the driver (PostgreSQL, for one, wants
   * auto-commit off and a fetch size). The caller closes the result set. What cannot be read while sending is a {@link
   * JdbcException}.
   *
   * @param client where to send it
   * @param table the name of the table in the dataset
   * @param rows before the first row that is to be sent
   * @return the upload, to be added to and sent
   * @throws JdbcException a column has another type: cast it in the query or leave it out
   * @throws SQLException the driver does not tell the columns
   */
  public static RowsUpload<ResultSet> upload(KohortClient client, String table, ResultSet rows) throws SQLException {
    RowsUpload<ResultSet> upload = client.uploadRows(table, new JdbcRows(table, rows));
    JdbcColumns.addAll(upload, table, rows.getMetaData());
    return upload;
  }

  /**
   * Prepares to write samples into tables that exist.
   *
   * @param connection its transaction is used if it has one, else one of its own; the caller closes it
   * @return where to say which tables and columns
   */
  public static JdbcInsert insert(Connection connection) {
    return new JdbcInsert(connection);
  }
}
