"""Writes a workbook with a list of registers in its second sheet: `workbook.py FILE`."""

import sys

from openpyxl import Workbook

book = Workbook()
book.active.title = "Deckblatt"
book.active.append(["Anlage", "Trockner 3"])
sheet = book.create_sheet("Register")
sheet.append(["Registerliste"])
sheet.append([])
sheet.append(["Bezeichnung", "Adresse", "Datentyp", "Einheit", "Faktor", "Wortreihenfolge"])
sheet.append(["DRYE-TE101", 40001, "REAL", "°C", None, "CDAB"])
sheet.append(["DRYE-SC301", 40005, "INT", "1/min", 0.1, None])
sheet.append(["DRYE-XS001", "40006.10", "BOOL", None, None, None])
sheet.append(["DRYE-ZZ001", 40010, "FLOAT24", None, None, None])
book.save(sys.argv[1])
