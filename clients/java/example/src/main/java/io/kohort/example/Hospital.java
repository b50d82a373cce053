// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.example;

import io.kohort.client.CloseableIterator;
import io.kohort.client.Job;
import io.kohort.client.KohortClient;
import io.kohort.client.KohortException;
import io.kohort.client.Sample;
import io.kohort.client.jdbc.Jdbc;
import io.kohort.v1.Dataset;
import io.kohort.v1.JobEvent;
import io.kohort.v1.JobUpdate;
import io.kohort.v1.Model;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;

/**
 * A service of a hospital: it has Kohort learn the patients of a database table, writes synthetic ones into a second
 * table, and compares the two. The rows never lie in a file, and the first table is only read.
 */
public final class Hospital {
  private static final String COHORT =
      "SELECT id, sex, born, ward, weight, smoker, chol, oldpeak, admitted, discharged FROM patients";

  private final KohortClient kohort;
  private final Connection database;

  private Hospital(KohortClient kohort, Connection database) {
    this.kohort = kohort;
    this.database = database;
  }

  /** Arguments: the server as host:port, the database as a JDBC URL, how many patients to make. */
  public static void main(String[] arguments) throws SQLException {
    if (arguments.length != 3) {
      System.err.println("usage: Hospital HOST:PORT JDBC-URL PATIENTS");
      System.exit(2);
    }
    try (KohortClient kohort = KohortClient.connect(arguments[0]);
        Connection database = DriverManager.getConnection(arguments[1])) {
      new Hospital(kohort, database).run(Long.parseLong(arguments[2]));
    } catch (KohortException failed) {
      System.err.println(failed.getMessage()); // says what to do, and no patient's data
      System.exit(1);
    }
  }

  private void run(long patients) throws SQLException {
    Dataset dataset = upload();
    System.out.println("uploaded " + dataset.getRowCountsOrThrow("patients") + " patients as " + dataset.getName());
    Model model = train(dataset);
    System.out.println("trained " + model.getName());
    System.out.println("wrote " + write(model, patients) + " synthetic patients");
    for (String table : new String[] {"patients", "synthetic_patients"}) {
      System.out.println(summary(table));
    }
  }

  private Dataset upload() throws SQLException {
    try (Statement statement = database.createStatement();
        ResultSet cohort = statement.executeQuery(COHORT)) {
      return Jdbc.upload(kohort, "patients", cohort).subjectKey("ID").deleteAfterTraining().send();
    }
  }

  private Model train(Dataset dataset) {
    Job job = kohort.train(dataset.getName()).trainer("copula").seed(1).start();
    try (CloseableIterator<JobUpdate> updates = job.events()) {
      while (updates.hasNext()) {
        JobEvent event = updates.next().getEvent();
        if (event.hasPhaseStarted()) {
          System.out.println("  " + event.getPhaseStarted().getPhase());
        }
      }
    }
    return job.result();
  }

  private long write(Model model, long patients) throws SQLException {
    try (Sample sample = kohort.sample(model.getName()).units(patients).seed(7).open()) {
      return Jdbc.insert(database)
          .into("synthetic_patients")
          .skip("ID")
          .constant("model", model.getName())
          .write(sample);
    }
  }

  private String summary(String table) throws SQLException {
    String query =
        "SELECT COUNT(*), AVG(chol), AVG(weight), COUNT(discharged), SUM(CASE WHEN sex = 'F' THEN 1 ELSE 0 END) FROM ";
    try (Statement statement = database.createStatement();
        ResultSet found = statement.executeQuery(query + table)) {
      found.next();
      return String.format(
          "%s: %d patients, mean cholesterol %.1f, mean weight %.1f, %.0f %% discharged, %.0f %% women",
          table,
          found.getLong(1),
          found.getDouble(2),
          found.getDouble(3),
          100.0 * found.getLong(4) / found.getLong(1),
          100.0 * found.getLong(5) / found.getLong(1));
    }
  }
}
