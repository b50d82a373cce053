// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import io.kohort.v1.CapabilitiesServiceGrpc;
import io.kohort.v1.Dataset;
import io.kohort.v1.DatasetServiceGrpc;
import io.kohort.v1.DeleteDatasetRequest;
import io.kohort.v1.GetCapabilitiesRequest;
import io.kohort.v1.GetCapabilitiesResponse;
import io.kohort.v1.GetDatasetRequest;
import io.kohort.v1.InferSchemaRequest;
import io.kohort.v1.InferSchemaResponse;
import io.kohort.v1.ListDatasetsRequest;
import io.kohort.v1.ListDatasetsResponse;
import io.kohort.v1.SchemaOverrides;
import java.util.List;

/** The calls about datasets that ask one thing, and what the server can do. */
final class Datasets {
  private Datasets() {}

  static GetCapabilitiesResponse capabilities(Connection connection) {
    return connection.unary(
        CapabilitiesServiceGrpc.getGetCapabilitiesMethod(), GetCapabilitiesRequest.getDefaultInstance());
  }

  static Dataset get(Connection connection, String name) {
    GetDatasetRequest request = GetDatasetRequest.newBuilder().setName(name).build();
    return connection.unary(DatasetServiceGrpc.getGetDatasetMethod(), request).getDataset();
  }

  static Iterable<Dataset> list(Connection connection) {
    return Pages.of(
        token ->
            connection.unary(
                DatasetServiceGrpc.getListDatasetsMethod(),
                ListDatasetsRequest.newBuilder().setPageSize(Pages.SIZE).setPageToken(token).build()),
        ListDatasetsResponse::getDatasetsList,
        ListDatasetsResponse::getNextPageToken);
  }

  static List<String> delete(Connection connection, String name) {
    DeleteDatasetRequest request = DeleteDatasetRequest.newBuilder().setName(name).build();
    return connection.unary(DatasetServiceGrpc.getDeleteDatasetMethod(), request).getModelsList();
  }

  static InferSchemaResponse infer(Connection connection, String dataset, SchemaOverrides overrides) {
    InferSchemaRequest request =
        InferSchemaRequest.newBuilder().setDataset(dataset).setSchemaOverrides(overrides).build();
    return connection.unary(DatasetServiceGrpc.getInferSchemaMethod(), request);
  }
}
