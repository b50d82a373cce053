// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import java.lang.reflect.Field;
import java.lang.reflect.InaccessibleObjectException;
import java.lang.reflect.Modifier;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Type;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.time.Duration;
import java.time.Instant;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.OffsetDateTime;
import java.time.ZonedDateTime;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import java.util.function.BiFunction;
import java.util.function.Function;

/** The fields of a class as columns of an upload. */
final class UploadFields {
  private static final Set<Class<?>> INTEGERS =
      Set.of(byte.class, short.class, int.class, long.class, Byte.class, Short.class, Integer.class, Long.class);

  private static final Map<Class<?>, BiFunction<String, String, UploadColumn>> TYPES =
      Map.ofEntries(
          Map.entry(boolean.class, UploadColumns::bool),
          Map.entry(Boolean.class, UploadColumns::bool),
          Map.entry(BigInteger.class, UploadColumns::integer),
          Map.entry(float.class, UploadColumns::number),
          Map.entry(Float.class, UploadColumns::number),
          Map.entry(double.class, UploadColumns::number),
          Map.entry(Double.class, UploadColumns::number),
          Map.entry(BigDecimal.class, UploadDecimals::new),
          Map.entry(LocalDate.class, UploadColumns::date),
          Map.entry(LocalDateTime.class, UploadColumns::dateTime),
          Map.entry(Instant.class, UploadFields::utc),
          Map.entry(OffsetDateTime.class, UploadFields::utc),
          Map.entry(ZonedDateTime.class, UploadFields::utc),
          Map.entry(Duration.class, UploadColumns::duration),
          Map.entry(String.class, UploadStrings::new),
          Map.entry(UUID.class, UploadStrings::new));

  private UploadFields() {}

  static <T> void addAll(RowsUpload<T> upload, Class<? super T> type) {
    int before = 0;
    for (Field field : fields(type)) {
      upload.add(name(field), column(upload.table(), field), reader(field));
      before++;
    }
    if (before == 0) {
      throw new IllegalArgumentException(type.getName() + " has no fields to send");
    }
  }

  /** Those of the superclasses first. */
  private static List<Field> fields(Class<?> type) {
    List<Field> fields = type.getSuperclass() == null ? new ArrayList<>() : fields(type.getSuperclass());
    Arrays.stream(type.getDeclaredFields())
        .filter(field -> !Modifier.isStatic(field.getModifiers()) && !Modifier.isTransient(field.getModifiers()))
        .filter(field -> !field.isSynthetic())
        .forEach(fields::add);
    return fields;
  }

  private static String name(Field field) {
    Column named = field.getAnnotation(Column.class);
    return named == null ? field.getName() : named.value();
  }

  private static UploadColumn column(String table, Field field) {
    Class<?> type = field.getType();
    if (INTEGERS.contains(type)) {
      return UploadColumns.integer(table, name(field));
    }
    if (type.isEnum()) {
      return new UploadStrings(table, name(field));
    }
    if (type == List.class && field.getGenericType() instanceof ParameterizedType) {
      Type item = ((ParameterizedType) field.getGenericType()).getActualTypeArguments()[0];
      if (item == String.class) {
        return new UploadStrings.Lists(table, name(field));
      }
    }
    BiFunction<String, String, UploadColumn> made = TYPES.get(type);
    if (made == null) {
      throw new IllegalArgumentException(where(field) + ": cells of type " + type.getName() + " cannot be sent");
    }
    return made.apply(table, name(field));
  }

  private static UploadColumn utc(String table, String name) {
    return UploadColumns.instant(table, name, "UTC");
  }

  private static Function<Object, Object> reader(Field field) {
    try {
      field.setAccessible(true);
    } catch (InaccessibleObjectException closed) {
      throw new IllegalArgumentException(where(field) + ": the package is not open to this library", closed);
    }
    boolean name = field.getType().isEnum();
    return row -> {
      Object cell;
      try {
        cell = field.get(row);
      } catch (IllegalAccessException impossible) { // it was made accessible
        throw new AssertionError(impossible);
      }
      if (cell instanceof OffsetDateTime) {
        return ((OffsetDateTime) cell).toInstant();
      }
      if (cell instanceof ZonedDateTime) {
        return ((ZonedDateTime) cell).toInstant();
      }
      return name && cell != null ? ((Enum<?>) cell).name() : cell;
    };
  }

  private static String where(Field field) {
    return field.getDeclaringClass().getSimpleName() + "." + field.getName();
  }
}
