"""The command ``kohort`` (needs the extra ``kohort[cli]``)."""
