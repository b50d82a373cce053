// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import io.kohort.v1.Dataset;
import io.kohort.v1.GetCapabilitiesResponse;
import io.kohort.v1.InferSchemaResponse;
import io.kohort.v1.JobState;
import io.kohort.v1.Model;
import io.kohort.v1.SchemaOverrides;
import java.io.OutputStream;
import java.nio.file.Path;
import java.util.Iterator;
import java.util.List;
import java.util.Objects;

/**
 * A connection to a Kohort server. Safe to use from several threads; close it when done.
 *
 * <p>Nothing is sent before the first call. Every method that asks the server throws {@link RpcException} or one of
 * its subclasses when the call fails, and {@link IllegalStateException} once the client is closed.
 */
public final class KohortClient implements AutoCloseable {
  private final Connection connection;

  KohortClient(Connection connection) {
    this.connection = connection;
  }

  /**
   * A client with the default settings: TLS unless the host is this machine, no token.
   *
   * @param target host:port; the port is 50051 when left out
   * @return a client; close it when done
   * @throws IllegalArgumentException the target is a URL, empty, or without a port that can be
   */
  public static KohortClient connect(String target) {
    return builder(target).build();
  }

  /**
   * A client with other settings.
   *
   * @param target host:port; the port is 50051 when left out
   * @return a builder
   */
  public static KohortClientBuilder builder(String target) {
    return new KohortClientBuilder(target);
  }

  /** What the calls of this package go through. */
  Connection connection() {
    return connection;
  }

  /**
   * The same client under other timeouts. Both share one connection: closing one closes the other.
   *
   * @param timeouts for its calls
   * @return another view of this client
   */
  public KohortClient withTimeouts(Timeouts timeouts) {
    return new KohortClient(connection.withTimeouts(Objects.requireNonNull(timeouts)));
  }

  /**
   * What the server can do: trainers and their parameters, limits, formats, devices, the caller's roles.
   *
   * @return the capabilities
   */
  public GetCapabilitiesResponse capabilities() {
    return Datasets.capabilities(connection);
  }

  /**
   * Hands in a file, which is sent as it is.
   *
   * @param file a .csv, .parquet, .pq or .xlsx file
   * @return a call to be completed and sent
   * @throws IllegalArgumentException a file of another kind
   */
  public FileUpload upload(Path file) {
    return new FileUpload(connection, file);
  }

  /**
   * Hands in rows that are objects here. See {@link io.kohort.client.jdbc.Jdbc} for rows of a database.
   *
   * @param <T> what a row is
   * @param table the name of the table in the dataset
   * @param rows read once, when the upload is sent
   * @return an upload to be completed with columns and sent
   */
  public <T> RowsUpload<T> uploadRows(String table, Iterable<T> rows) {
    return new RowsUpload<>(connection, table, rows.iterator());
  }

  /**
   * Hands in rows as they come.
   *
   * @param <T> what a row is
   * @param table the name of the table in the dataset
   * @param rows read once, when the upload is sent
   * @return an upload to be completed with columns and sent
   */
  public <T> RowsUpload<T> uploadRows(String table, Iterator<T> rows) {
    return new RowsUpload<>(connection, table, rows);
  }

  /**
   * One dataset.
   *
   * @param name "datasets/{id}"
   * @return the dataset
   * @throws NotFoundException there is none
   */
  public Dataset dataset(String name) {
    return Datasets.get(connection, name);
  }

  /**
   * All datasets, newest first.
   *
   * @return pages are fetched as needed, from the first for each iterator
   */
  public Iterable<Dataset> datasets() {
    return Datasets.list(connection);
  }

  /**
   * Deletes the rows of a dataset now; lineage stays. Safe to repeat.
   *
   * @param name "datasets/{id}"
   * @return the names of the models made from it
   * @throws FailedPreconditionException {@code DATASET_IN_USE}: a job needs it
   */
  public List<String> deleteDataset(String name) {
    return Datasets.delete(connection, name);
  }

  /**
   * The schema that training would use without overrides, and what to look at first.
   *
   * @param dataset "datasets/{id}"
   * @return schema and findings
   */
  public InferSchemaResponse inferSchema(String dataset) {
    return inferSchema(dataset, SchemaOverrides.getDefaultInstance());
  }

  /**
   * The schema that training would use, and what to look at first.
   *
   * @param dataset "datasets/{id}"
   * @param overrides changes to try
   * @return schema and findings
   */
  public InferSchemaResponse inferSchema(String dataset, SchemaOverrides overrides) {
    return Datasets.infer(connection, dataset, overrides);
  }

  /**
   * Trains a model on a dataset.
   *
   * @param dataset "datasets/{id}"
   * @return a call to be completed and started
   */
  public TrainCall train(String dataset) {
    return new TrainCall(connection, dataset);
  }

  /**
   * Attaches to a job, from any process.
   *
   * @param name "jobs/{id}"
   * @return a handle
   * @throws NotFoundException there is none
   */
  public Job job(String name) {
    return new Job(connection, Jobs.get(connection, name));
  }

  /**
   * The jobs in these states, newest first.
   *
   * @param states none means all
   * @return pages are fetched as needed, from the first for each iterator
   */
  public Iterable<Job> jobs(JobState... states) {
    return Jobs.list(connection, List.of(states));
  }

  /**
   * One model.
   *
   * @param name "models/{id}"
   * @return the model
   * @throws NotFoundException there is none
   */
  public Model model(String name) {
    return Models.get(connection, name);
  }

  /**
   * All models, newest first.
   *
   * @return pages are fetched as needed, from the first for each iterator
   */
  public Iterable<Model> models() {
    return Models.list(connection);
  }

  /**
   * Deletes a model. A deleted model is NOT_FOUND.
   *
   * @param name "models/{id}"
   */
  public void deleteModel(String name) {
    Models.delete(connection, name);
  }

  /**
   * Downloads a model as a bundle: whole and with its digest, or not at all.
   *
   * @param name "models/{id}"
   * @param file where to; replaced once everything is there
   * @throws IntegrityException what came is not what the server announced
   * @throws java.io.UncheckedIOException the file cannot be written
   */
  public void download(String name, Path file) {
    Models.download(connection, name, file);
  }

  /**
   * Downloads a model as a bundle into a stream, which is first written to once everything is there and has its
   * digest; a temporary file holds it until then.
   *
   * @param name "models/{id}"
   * @param out is flushed, not closed
   * @throws IntegrityException what came is not what the server announced
   * @throws java.io.UncheckedIOException the stream cannot be written
   */
  public void download(String name, OutputStream out) {
    Models.download(connection, name, out);
  }

  /**
   * Samples synthetic rows from a model.
   *
   * @param model "models/{id}"
   * @return a call to be completed and opened
   */
  public SampleCall sample(String model) {
    return new SampleCall(connection, model);
  }

  /**
   * Imports a model from a bundle.
   *
   * @param bundle a file that {@link #download(String, Path)} made
   * @return a call to be completed and sent
   */
  public ImportCall importModel(Path bundle) {
    return new ImportCall(connection, bundle);
  }

  /**
   * Evaluates a model that was trained on the server against its patients. Needs the role custodian.
   *
   * @param model "models/{id}"
   * @return a call to be completed and started
   */
  public EvaluateCall evaluate(String model) {
    return EvaluateCall.ofModel(connection, model);
  }

  /**
   * Evaluates synthetic rows that were made elsewhere. Needs the role custodian.
   *
   * @param synthetic "datasets/{id}" of the synthetic rows
   * @param real "datasets/{id}" of what their generator learned from
   * @return a call to be completed and started
   */
  public EvaluateCall evaluate(String synthetic, String real) {
    return EvaluateCall.ofRows(connection, synthetic, real);
  }

  /**
   * Reports and the release policy: the part of a custodian.
   *
   * @return a view of this client
   */
  public Reports reports() {
    return new Reports(connection);
  }

  /** Closes the connection; safe to repeat. Calls under way end with {@link CallCancelledException}; jobs go on. */
  @Override
  public void close() {
    connection.close();
  }
}
