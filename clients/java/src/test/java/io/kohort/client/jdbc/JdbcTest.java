// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client.jdbc;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.kohort.client.EchoServer;
import io.kohort.client.IntegrityException;
import io.kohort.client.KohortClient;
import io.kohort.client.Sample;
import io.kohort.v1.Storage;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class JdbcTest {
  private static final String COLUMNS =
      "id UUID, sex CHAR(3), \"größe \"\"cm\"\"\" DECIMAL(6, 2), n NUMERIC(30), tiny TINYINT, big BIGINT,"
          + " x DOUBLE PRECISION, r REAL, ok BOOLEAN, born DATE, at TIMESTAMP(6), zoned TIMESTAMP(6) WITH TIME ZONE,"
          + " fine DECIMAL(40, 20), ward VARCHAR(40)";

  private EchoServer server;
  private KohortClient client;
  private Connection database;

  @BeforeEach
  void open() throws Exception {
    server = new EchoServer(0);
    client = KohortClient.connect(server.address());
    database = DriverManager.getConnection("jdbc:h2:mem:");
    run("CREATE TABLE patients (" + COLUMNS + ")");
    run(
        "INSERT INTO patients VALUES ('00000000-0000-0000-0000-000000000001', 'F', 170.25, 12345678901234567, 7,"
            + " 9223372036854775807, 0.1, 0.5, TRUE, '2795-02-28', '1969-12-31 23:59:59.000001',"
            + " '2020-01-01 01:00:00+01:00', 0.12345678901234567890, '日本語')");
    run("INSERT INTO patients (sex, ward) VALUES ('M', '')");
  }

  @AfterEach
  void close() throws Exception {
    database.close();
    client.close();
    server.close();
  }

  private void run(String sql) throws SQLException {
    try (Statement statement = database.createStatement()) {
      statement.execute(sql);
    }
  }

  private void upload(String query) throws SQLException {
    try (Statement statement = database.createStatement();
        ResultSet rows = statement.executeQuery(query)) {
      Jdbc.upload(client, "patients", rows).send();
    }
  }

  private Sample sample(long rows) {
    return client.sample("models/echo").units(rows).open();
  }

  private List<List<String>> rows(String query) throws SQLException {
    List<List<String>> table = new ArrayList<>();
    try (Statement statement = database.createStatement();
        ResultSet rows = statement.executeQuery(query)) {
      while (rows.next()) {
        List<String> row = new ArrayList<>();
        for (int i = 1; i <= rows.getMetaData().getColumnCount(); i++) {
          row.add(rows.getString(i));
        }
        table.add(row);
      }
    }
    return table;
  }

  @Test
  void everyTypeArrivesAsItIs() throws Exception {
    upload("SELECT * FROM patients");
    assertEquals(Arrays.asList("00000000-0000-0000-0000-000000000001", null), server.cells("ID"));
    assertEquals(List.of("F", "M"), server.cells("SEX"));
    assertEquals("[170.25, null]", server.cells("größe \"cm\"").toString());
    assertEquals(2, server.column("größe \"cm\"").getScale());
    assertEquals(12345678901234567L, server.cells("N").get(0));
    assertEquals(7L, server.cells("TINY").get(0));
    assertEquals(Long.MAX_VALUE, server.cells("BIG").get(0));
    assertEquals(Arrays.asList(0.1, null), server.cells("X"));
    assertEquals(Arrays.asList(0.5, null), server.cells("R"));
    assertEquals(Arrays.asList(true, null), server.cells("OK"));
    assertEquals("[2795-02-28, null]", server.cells("BORN").toString());
    assertEquals("[1969-12-31T23:59:59.000001, null]", server.cells("AT").toString());
    assertEquals(Arrays.asList(Instant.parse("2020-01-01T00:00:00Z"), null), server.cells("ZONED"));
    assertEquals(Storage.STORAGE_DOUBLE, server.column("FINE").getStorage());
    assertEquals(List.of("日本語", ""), server.cells("WARD"));
  }

  @Test
  void whatCannotBeReadNamesTheColumnAndNoCell() throws Exception {
    run("CREATE TABLE odd (photo BLOB, at TIME, n NUMERIC(30), word VARCHAR(9))");
    run("INSERT INTO odd (n, word) VALUES (123456789012345678901234567890, 'secret')");
    assertEquals("patients.PHOTO", assertThrows(JdbcException.class, () -> upload("SELECT photo FROM odd")).column());
    assertEquals("patients.T", assertThrows(JdbcException.class, () -> upload("SELECT at AS t FROM odd")).column());
    String large = assertThrows(RuntimeException.class, () -> upload("SELECT n FROM odd")).getMessage();
    assertTrue(large.contains("patients.N") && !large.contains("12345"), large);
    run("SET LAZY_QUERY_EXECUTION 1"); // else H2 fails before the first row
    JdbcException broken =
        assertThrows(JdbcException.class, () -> upload("SELECT CAST(word AS INTEGER) AS w FROM odd"));
    assertFalse(broken.getMessage().contains("secret"), broken.getMessage());
    assertNull(broken.getCause());
    assertEquals("22018", broken.sqlState());
  }

  @Test
  void aSampleFillsATableOfTheSameColumns() throws Exception {
    upload("SELECT * FROM patients");
    run("CREATE TABLE synthetic (" + COLUMNS + ", model VARCHAR(20))");
    try (Sample sample = sample(2)) {
      assertEquals(2, Jdbc.insert(database).into("synthetic").constant("model", "models/echo").write(sample));
    }
    // What the upload does not keep: digits beyond those of a double, and the offset that an instant was written in.
    run("UPDATE patients SET fine = CAST(fine AS DOUBLE PRECISION), zoned = zoned AT TIME ZONE 'UTC'");
    run("ALTER TABLE synthetic DROP COLUMN model");
    assertEquals(rows("SELECT * FROM patients"), rows("SELECT * FROM synthetic"));
    assertTrue(database.getAutoCommit());
  }

  @Test
  void cellsAreFittedToOtherTypes() throws Exception {
    upload("SELECT ok, big, born, at, zoned, n, x FROM patients");
    run(
        "CREATE TABLE \"Other types\" (yes INTEGER, \"big\" VARCHAR(30), \"Born\" TIMESTAMP, at TIMESTAMP WITH TIME"
            + " ZONE, zoned TIMESTAMP, n VARCHAR(40))");
    try (Sample sample = sample(2)) {
      Jdbc.insert(database).into("Other types").column("OK", "yes").skip("X").write(sample);
    }
    assertEquals(
        List.of(
            List.of(
                "1",
                "9223372036854775807",
                "2795-02-28 00:00:00",
                "1969-12-31 23:59:59.000001+00",
                "2020-01-01 00:00:00",
                "12345678901234567"),
            Arrays.asList(null, null, null, null, null, null)),
        rows("SELECT * FROM \"Other types\""));
  }

  @Test
  void allRowsAreWrittenOrNone() throws Exception {
    run("CREATE TABLE many AS SELECT x AS n FROM SYSTEM_RANGE(1, 5000)");
    run("CREATE TABLE target (n INTEGER CHECK (n < 4500))");
    upload("SELECT * FROM many");
    try (Sample sample = sample(5000)) {
      assertThrows(SQLException.class, () -> Jdbc.insert(database).into("TARGET").write(sample));
    }
    assertEquals(List.of(List.of("0")), rows("SELECT COUNT(*) FROM target"));
    run("DROP TABLE target; CREATE TABLE target (n INTEGER)");
    server.altering = true;
    try (Sample sample = sample(5000)) {
      assertThrows(IntegrityException.class, () -> Jdbc.insert(database).into("target").write(sample));
    }
    assertEquals(List.of(List.of("0")), rows("SELECT COUNT(*) FROM target"));
    server.altering = false;
    try (Sample sample = sample(5000)) {
      assertEquals(5000, Jdbc.insert(database).into("target").batchRows(7).write(sample));
    }
    assertEquals(List.of(List.of("5000", "12502500")), rows("SELECT COUNT(*), SUM(n) FROM target"));
  }

  @Test
  void theCallersTransactionStaysTheirs() throws Exception {
    run("CREATE TABLE target (ward VARCHAR(40), tiny INTEGER CHECK (tiny < 5))");
    run("CREATE TABLE note (text VARCHAR(9))");
    upload("SELECT ward, tiny FROM patients");
    database.setAutoCommit(false);
    run("INSERT INTO note VALUES ('mine')");
    try (Sample sample = sample(2)) {
      assertThrows(SQLException.class, () -> Jdbc.insert(database).into("target").batchRows(1).write(sample));
    }
    assertEquals(List.of(List.of("mine")), rows("SELECT * FROM note"));
    assertEquals(List.of(), rows("SELECT * FROM target"));
    try (Sample sample = sample(2)) {
      Jdbc.insert(database).into("target").skip("TINY").write(sample);
    }
    assertFalse(database.getAutoCommit());
    database.rollback();
    assertEquals(List.of(), rows("SELECT * FROM target"));
    assertEquals(List.of(), rows("SELECT * FROM note"));
  }

  @Test
  void whatIsNotThereIsNamedBeforeAnythingIsWritten() throws Exception {
    upload("SELECT ward, tiny FROM patients");
    run("CREATE TABLE target (ward VARCHAR(40))");
    JdbcException none = refused(Jdbc.insert(database).into("target"));
    assertEquals("target.TINY", none.column());
    assertEquals("patients", refused(Jdbc.insert(database)).column());
    assertEquals("target.WARD", refused(Jdbc.insert(database).into("target").column("TINY", "ward")).column());
    assertEquals("target", refused(Jdbc.insert(database).into("target").skip("TINY").skip("WARD")).column());
    try (Sample sample = sample(2)) {
      assertThrows(SQLException.class, () -> Jdbc.insert(database).into("x\"; DROP TABLE target; --").write(sample));
    }
    assertEquals(List.of(), rows("SELECT * FROM target"));
    assertTrue(database.getAutoCommit());
  }

  private JdbcException refused(JdbcInsert insert) {
    try (Sample sample = sample(2)) {
      return assertThrows(JdbcException.class, () -> insert.write(sample));
    }
  }
}
