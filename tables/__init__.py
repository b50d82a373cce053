"""What a table is: reading, inference, identifiers, canonical store, patient-wise split, statistics."""
