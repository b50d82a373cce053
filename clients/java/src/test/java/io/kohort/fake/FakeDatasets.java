// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.fake;

import com.google.protobuf.ByteString;
import io.grpc.Status;
import io.grpc.stub.StreamObserver;
import io.kohort.v1.Dataset;
import io.kohort.v1.DatasetServiceGrpc;
import io.kohort.v1.DeleteDatasetRequest;
import io.kohort.v1.DeleteDatasetResponse;
import io.kohort.v1.GetDatasetRequest;
import io.kohort.v1.GetDatasetResponse;
import io.kohort.v1.ListDatasetsRequest;
import io.kohort.v1.ListDatasetsResponse;
import io.kohort.v1.UploadDatasetRequest;
import io.kohort.v1.UploadDatasetResponse;
import io.kohort.v1.UploadHeader;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;

/** Keeps what is uploaded. */
public final class FakeDatasets extends DatasetServiceGrpc.DatasetServiceImplBase {
  private static final int PAGE = 2;

  private final Map<String, Dataset> byRequest = new ConcurrentHashMap<>();
  private final List<List<UploadDatasetRequest>> uploads = new CopyOnWriteArrayList<>();
  private final Map<String, Dataset> datasets = new ConcurrentHashMap<>();
  private volatile int breaks;

  /** The next so many uploads are stored, but the answer is lost. */
  public void loseAnswers(int times) {
    breaks = times;
  }

  /** The messages of the uploads that came to their end. */
  public List<List<UploadDatasetRequest>> uploads() {
    return uploads;
  }

  /** What is stored. */
  public Map<String, Dataset> datasets() {
    return new TreeMap<>(datasets);
  }

  @Override
  public StreamObserver<UploadDatasetRequest> uploadDataset(StreamObserver<UploadDatasetResponse> answer) {
    List<UploadDatasetRequest> messages = new ArrayList<>();
    return new StreamObserver<>() {
      @Override
      public void onNext(UploadDatasetRequest message) {
        messages.add(message);
      }

      @Override
      public void onError(Throwable left) {
        // Nothing is kept of a stream that breaks.
      }

      @Override
      public void onCompleted() {
        uploads.add(List.copyOf(messages));
        if (!messages.get(0).hasHeader()) {
          answer.onError(
              Errors.of(Status.Code.INVALID_ARGUMENT, "STREAM_OUT_OF_ORDER", "the first message is no header"));
          return;
        }
        Dataset stored = store(messages.get(0).getHeader(), messages);
        if (breaks > 0) {
          breaks--;
          answer.onError(FakeServer.unavailable());
          return;
        }
        answer.onNext(UploadDatasetResponse.newBuilder().setDataset(stored).build());
        answer.onCompleted();
      }
    };
  }

  private Dataset store(UploadHeader header, List<UploadDatasetRequest> messages) {
    return byRequest.computeIfAbsent(
        header.getRequestId(),
        id -> {
          ByteString content = ByteString.EMPTY;
          for (UploadDatasetRequest message : messages) {
            content = content.concat(message.getChunk().getData());
          }
          Dataset dataset =
              Dataset.newBuilder()
                  .setName("datasets/" + (datasets.size() + 1))
                  .setDisplayName(header.getDisplayName())
                  .putAllLabels(header.getLabelsMap())
                  .setSchema(header.getSchema())
                  .setSizeBytes(content.size())
                  .setDigest(header.getDigestsCount() == 0 ? ByteString.EMPTY : header.getDigests(0).getSha256())
                  .build();
          datasets.put(dataset.getName(), dataset);
          return dataset;
        });
  }

  @Override
  public void getDataset(GetDatasetRequest request, StreamObserver<GetDatasetResponse> answer) {
    Dataset found = datasets.get(request.getName());
    if (found == null) {
      answer.onError(Errors.of(Status.Code.NOT_FOUND, "DATASET_NOT_FOUND", "no such dataset"));
      return;
    }
    answer.onNext(GetDatasetResponse.newBuilder().setDataset(found).build());
    answer.onCompleted();
  }

  @Override
  public void listDatasets(ListDatasetsRequest request, StreamObserver<ListDatasetsResponse> answer) {
    List<Dataset> all = new ArrayList<>(datasets().values());
    int start = request.getPageToken().isEmpty() ? 0 : Integer.parseInt(request.getPageToken());
    int end = Math.min(all.size(), start + PAGE);
    answer.onNext(
        ListDatasetsResponse.newBuilder()
            .addAllDatasets(all.subList(start, end))
            .setNextPageToken(end == all.size() ? "" : String.valueOf(end))
            .build());
    answer.onCompleted();
  }

  @Override
  public void deleteDataset(DeleteDatasetRequest request, StreamObserver<DeleteDatasetResponse> answer) {
    Dataset gone = datasets.remove(request.getName());
    answer.onNext(DeleteDatasetResponse.newBuilder().setDataset(gone).addModels("models/1").build());
    answer.onCompleted();
  }
}
