// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package io.kohort.client;

import io.kohort.v1.Column;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Type;
import java.math.BigDecimal;
import java.time.DateTimeException;
import java.time.Duration;
import java.time.Instant;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.OffsetDateTime;
import java.time.ZoneId;
import java.time.ZoneOffset;
import java.time.ZonedDateTime;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** How the cells of one column become values of one Java type. */
@FunctionalInterface
interface Conversion {
  /** The value of a cell, boxed; null for null. */
  Object of(Cells cells, int row);

  /**
   * The conversion of a column to a type.
   *
   * @param where the component that takes it, for messages
   * @throws MappingException there is none
   */
  static Conversion of(Column column, Type type, String where) {
    Class<?> raw = raw(type);
    Conversion present = Conversions.present(column, type, raw, where);
    if (present == null) {
      throw new MappingException(
          column.getName(),
          String.format(
              "%s: column %s holds %s, which do not become %s",
              where, column.getName(), Storages.name(column), type.getTypeName()));
    }
    if (raw.isPrimitive()) {
      String boxed = Conversions.BOXES.get(raw).getSimpleName();
      return (cells, row) -> {
        if (cells.isNull(row)) {
          throw Conversions.unfit(where, column, "is null, which " + raw + " cannot hold; use " + boxed);
        }
        return present.of(cells, row);
      };
    }
    return (cells, row) -> cells.isNull(row) ? null : present.of(cells, row);
  }

  private static Class<?> raw(Type type) {
    if (type instanceof ParameterizedType) {
      return (Class<?>) ((ParameterizedType) type).getRawType();
    }
    return type instanceof Class ? (Class<?>) type : Void.class;
  }
}

/** The conversions of cells that are not null. */
final class Conversions {
  static final Map<Class<?>, Class<?>> BOXES =
      Map.of(
          boolean.class, Boolean.class,
          byte.class, Byte.class,
          short.class, Short.class,
          int.class, Integer.class,
          long.class, Long.class,
          float.class, Float.class,
          double.class, Double.class,
          char.class, Character.class);

  private Conversions() {}

  /** Null when there is none. */
  static Conversion present(Column column, Type type, Class<?> raw, String where) {
    Class<?> wanted = BOXES.getOrDefault(raw, raw);
    if (wanted == Object.class) {
      return Cells::value;
    }
    switch (column.getStorage()) {
      case STORAGE_BOOL:
        return wanted == Boolean.class ? (cells, row) -> cells.booleans[row] : null;
      case STORAGE_INT64:
        return integer(column, wanted, where);
      case STORAGE_DOUBLE:
        return floating(wanted);
      case STORAGE_DECIMAL:
        return wanted == BigDecimal.class ? Cells::decimal : floating(wanted);
      case STORAGE_STRING:
        return string(column, wanted, where);
      case STORAGE_DATE:
        return wanted == LocalDate.class ? Cells::date : null;
      case STORAGE_DATETIME:
        return column.getTimeZone().isEmpty() ? local(wanted) : instant(column, wanted, where);
      case STORAGE_DURATION:
        return wanted == Duration.class ? Cells::duration : null;
      case STORAGE_STRING_LIST:
        return list(type, wanted);
      default:
        return null;
    }
  }

  private static Conversion integer(Column column, Class<?> wanted, String where) {
    if (wanted == Long.class) {
      return (cells, row) -> cells.longs[row];
    }
    if (wanted == Integer.class) {
      return (cells, row) -> (int) within(cells.longs[row], Integer.SIZE, column, where);
    }
    if (wanted == Short.class) {
      return (cells, row) -> (short) within(cells.longs[row], Short.SIZE, column, where);
    }
    if (wanted == Byte.class) {
      return (cells, row) -> (byte) within(cells.longs[row], Byte.SIZE, column, where);
    }
    if (wanted == Double.class) {
      return (cells, row) -> cells.number(row);
    }
    return wanted == BigDecimal.class ? Cells::decimal : null;
  }

  private static long within(long value, int bits, Column column, String where) {
    if (value << (64 - bits) >> (64 - bits) != value) {
      throw unfit(where, column, "does not fit; use long");
    }
    return value;
  }

  static MappingException unfit(String where, Column column, String why) {
    return new MappingException(column.getName(), where + ": a cell of column " + column.getName() + " " + why);
  }

  private static Conversion floating(Class<?> wanted) {
    if (wanted == Double.class) {
      return (cells, row) -> cells.number(row);
    }
    return wanted == Float.class ? (cells, row) -> (float) cells.number(row) : null;
  }

  private static Conversion string(Column column, Class<?> wanted, String where) {
    if (wanted == String.class || wanted == CharSequence.class) {
      return Cells::string;
    }
    if (!wanted.isEnum()) {
      return null;
    }
    Map<String, Object> constants = new HashMap<>();
    for (Object constant : wanted.getEnumConstants()) {
      constants.put(((Enum<?>) constant).name(), constant);
    }
    return (cells, row) -> {
      Object constant = constants.get(cells.string(row));
      if (constant == null) {
        throw unfit(where, column, "is no constant of " + wanted.getSimpleName());
      }
      return constant;
    };
  }

  private static Conversion local(Class<?> wanted) {
    return wanted == LocalDateTime.class ? Cells::dateTime : null;
  }

  private static Conversion instant(Column column, Class<?> wanted, String where) {
    if (wanted == Instant.class) {
      return Cells::instant;
    }
    if (wanted == OffsetDateTime.class) {
      return (cells, row) -> cells.instant(row).atOffset(ZoneOffset.UTC);
    }
    if (wanted != ZonedDateTime.class) {
      return null;
    }
    try {
      ZoneId zone = ZoneId.of(column.getTimeZone());
      return (cells, row) -> cells.instant(row).atZone(zone);
    } catch (DateTimeException unknown) {
      throw new MappingException(
          column.getName(),
          where + ": this Java does not know the time zone of column " + column.getName() + "; use Instant",
          unknown);
    }
  }

  private static Conversion list(Type type, Class<?> wanted) {
    if (wanted == String[].class) {
      return (cells, row) -> cells.list(row).toArray(new String[0]);
    }
    boolean lists = Set.of(List.class, Collection.class, Iterable.class).contains(wanted);
    boolean strings =
        !(type instanceof ParameterizedType)
            || ((ParameterizedType) type).getActualTypeArguments()[0] == String.class;
    return lists && strings ? Cells::list : null;
  }
}
