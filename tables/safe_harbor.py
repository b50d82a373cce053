"""Detectors of the classes A to Q of Safe Harbor; `tables.national_numbers` has those of class R.

Beside English names of columns stand those that hospitals use in German,
French, Spanish and romanised Korean.
"""

from __future__ import annotations

from tables import checksums
from tables.detectors import Detector, named, shaped

_NO = r"(numbers?|no|nbr|num|nr|nummer|numero|id|ident|code|key)"
_AGAIN = r"(_?(number|no|nbr|num|nr|nummer|home|work|privat|private|[0-9]))*"
_OCTET = r"(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])"
_HEX = "[0-9A-Fa-f]"
# Latin letters by range: classes of Unicode take a hundred times as long to compile.
_SMALL = "a-zß-ÿā-ž"
_ANY = f"A-ZÀ-ÞĀ-Ž{_SMALL}"
_BIG = "[A-ZÀ-ÞĀ-Ž]"
_GROUP = "[0-9A-Fa-f]{1,4}"
_ZIP = "zip zip_?code zip_?5 post_?code postal_?code plz postleitzahl code_?postal codigo_postal upyeonbeonho"
_PEOPLE = (
    "(patient|pat|pt|person|mother|father|spouse|child|parent|doctor|physician|provider|nurse|staff|guardian"
    "|guarantor|subscriber|member|insured|contact|kin|user)"
)

PEOPLE: tuple[Detector, ...] = (
    named(
        "A",
        "given names",
        "given_name",
        "first_?(name|nm)s? given_?names? fore_?names? fname middle_?(name|nm)s? vor_?namen? prenoms?"
        " (primer|segundo)_nombre",
    ),
    named(
        "A",
        "family names",
        "family_name",
        "last_?(name|nm)s? family_?names? sur_?names? lname maiden_?names? nach_?namen? familien_?name"
        " geburts_?name nom_(de_)?(famille|naissance|usage|jeune_fille) (primer_|segundo_)?apellidos?",
    ),
    named(
        "A",
        "names",
        "name",
        rf"{_PEOPLE}_?(names?|nm) full_?names? patienten_?name nom_(du_)?patient nom_prenom"
        " nombre_(del_)?paciente nombre_completo (hwanja_?)?(ireum|irum|seongmyeong|sungmyung)"
        " doctor physician surgeon arzt medecin medico",
        rf"^{_BIG}[{_SMALL}'’-]+, ?{_BIG}[{_SMALL}'’-]+( {_BIG}[{_SMALL}.]*)*$",
        rare_shape=True,
    ),
    Detector(
        "A", "names", r"^(names?|nom|nombre)$|(^|_)(initials|nick_?name|login)$", fake="name", rare=True
    ),
    named("E", "fax numbers", "phone", rf"(tele)?fax{_AGAIN}", numbers=True, rare=True),
    named(
        "D",
        "telephone numbers",
        "phone",
        f"(phone|telephone|tele?fon|telefono|mobile|mobil|movil|handy|portable|cell_?phone|tel|hp_no){_AGAIN}"
        " jeonhwa(_?beonho)?",
        r"^(\+[0-9]{1,3}[ .-]?)?(\([0-9]{2,5}\) ?|[0-9]{2,5}[ ./-])[0-9]{3,4}[ .-]?[0-9]{3,5}$",
        numbers=True,
        rare=True,
        rare_shape=True,
    ),
    named(
        "F",
        "e-mail addresses",
        "email",
        "e_?mail(_?(address|addr|adresse))? courriel correo(_electronico)?",
        r"^[^@\s]+@[^@\s]+\.[A-Za-z]{2,}$",
        rare=True,
    ),
    named(
        "N",
        "web addresses",
        "url",
        "url uri website web_?(address|page|site) homepage site_web",
        r"^(?i)((https?|ftp)://|www\.)",
        rare=True,
    ),
    shaped(
        "O",
        "IP addresses",
        "ipv6",
        rf"^(({_GROUP}:){{7}}{_GROUP}|({_GROUP}:){{1,6}}(:{_GROUP}){{1,6}}|({_GROUP}:){{1,7}}:|::({_GROUP}:){{0,6}}{_GROUP})$",
    ),
    named(
        "O",
        "IP addresses",
        "ipv4",
        "ip(_?v?_?[46])?(_?(address|addr|adresse))?",
        rf"^{_OCTET}\.{_OCTET}\.{_OCTET}\.{_OCTET}$",
        rare=True,
    ),
    named(
        "P",
        "biometric identifiers",
        "",
        "finger_?prints? voice_?prints? retinal?_?scan iris_?(scan|code) palm_?print"
        " face_?(id|print|template) biometric(_(id|template))?"
        " genome_?sequence fingerabdruck empreinte_digitale",
    ),
    named(
        "Q",
        "photographs",
        "",
        "(photos?|photographs?|face_?image|portrait|selfie|passbild|lichtbild)(_?(file|path|id|url))?",
        r"^[^\s]+\.(?i:jpe?g|png|tiff?|bmp|gif|heic|dcm)$",
    ),
)

PLACES_AND_DATES: tuple[Detector, ...] = (
    Detector(
        "B",
        "street addresses",
        r"(^|_)(street|address|addr|add(r|ress)?_?line|street_?(address|name)|house_?(number|no)|strasse"
        r"|haus_?(nr|nummer)|anschrift|adresse|wohnadresse|rue|domicilio|direccion|calle|juso)(_?[0-9])?$",
        rf"^([0-9]{{1,5}} [{_ANY}0-9.' -]+ (St|Street|Ave|Avenue|Rd|Road|Blvd|Ln|Lane|Drive"
        r"|Court|Way)\.?(,.*)?"
        rf"|{_BIG}[{_ANY}. -]*(?i:straße|strasse|str\.|weg|allee|gasse|platz) ?[0-9]{{1,4}} ?[a-z]?(,.*)?"
        r"|[0-9]{1,4},? (bis |ter )?(rue|avenue|boulevard|chemin|impasse|allée) .+"
        r"|(?i:calle|avda\.?|avenida) .+[0-9].*)$",
        fake="address",
        rare=True,
    ),
    shaped("B", "postal codes of nine digits", "postcode", r"^[0-9]{5}-[0-9]{4}$"),
    named("B", "postal codes of few patients each", "postcode", _ZIP, numbers=True, rare=True),
    Detector(
        "B",
        "coordinates",
        r"(^|_)(latitude|longitude|geo_?hash|gps|breitengrad|laengengrad)$"
        r"|^((geo|gps|home|patient|address)_)?(lat|lon|lng)$",
        fractions=True,
        rare=True,
    ),
    named(
        "B",
        "places smaller than a state",
        "",
        f"{_ZIP} city town county parish municipality precinct fips census_tract block_group geo_?code"
        " (wohn|geburts)?_?ort gemeinde landkreis ville commune ciudad municipio (city|place|town)_of_birth"
        " birth_?(city|place)",
        numbers=True,
        learned=True,
    ),
    named(
        "C",
        "elements of dates",
        "",
        "(birth|death)_?(day|month) (day|month)_of_(birth|death)",
        numbers=True,
        learned=True,
    ),
)

NUMBERS: tuple[Detector, ...] = (
    named(
        "G",
        "social security numbers",
        "ssn",
        "ssn social_security.*",
        r"^(00[1-9]|0[1-9][0-9]|[1-578][0-9]{2}|6[0-57-9][0-9]|66[0-57-9])-(0[1-9]|[1-9][0-9])-[0-9]{4}$",
        numbers=True,
    ),
    named(
        "H",
        "medical record numbers",
        "mrn",
        "mrn(_?(number|no|nbr|num|nr|id))? medical_?record_?(number|no|nbr|num|id) chart_?(number|no|nr|id)"
        " (patienten|patient|pat)_?(nr|nummer) pt_?no hwanja_?(no|beonho)"
        " numero_(de_)?historia(_clinica)? historia_clinica"
        " numero_(de_)?dossier",
        numbers=True,
    ),
    named(
        "H",
        "medical record numbers",
        "mrn",
        "hospital_?(number|no|id) ipp nhc accession_?(number|no)",
        numbers=True,
        rare=True,
    ),
    named(
        "I",
        "health plan beneficiary numbers",
        "plan",
        f"(health_?plan|plan_?member|insurance|insured|beneficiary|subscriber|member|medicare|medicaid)_?{_NO}"
        " mbi hicn kvnr (kranken)?versicherten_?(nr|nummer) tarjeta_sanitaria numero_(de_)?assure",
        numbers=True,
        rare=True,
    ),
    shaped(
        "I",
        "Medicare beneficiary numbers",
        "plan",
        r"^[1-9][AC-HJKMNP-RT-Y][AC-HJKMNP-RT-Y0-9][0-9]-?[AC-HJKMNP-RT-Y][AC-HJKMNP-RT-Y0-9][0-9]-?"
        r"[AC-HJKMNP-RT-Y]{2}[0-9]{2}$",
    ),
    shaped("I", "German health insurance numbers", "plan", r"^[A-Z][0-9]{9}$", check=checksums.kvnr),
    named(
        "J",
        "account numbers",
        "account",
        f"(account|acct|policy|konto)_?{_NO} account cuenta(_bancaria)? numero_(de_)?(compte|cuenta)",
        numbers=True,
        rare=True,
    ),
    named(
        "J",
        "bank accounts (IBAN)",
        "iban",
        "iban",
        r"^[A-Z]{2}[0-9]{2}( ?[A-Z0-9]{4}){2,7}( ?[A-Z0-9]{1,3})?$",
        check=checksums.iban,
    ),
    named(
        "J", "payment cards", "card", f"((credit|debit|payment)_?card|card_?{_NO})", numbers=True, rare=True
    ),
    named(
        "M",
        "device serial numbers (IMEI)",
        "device",
        "imei",
        r"^(0[1-9]|35|86|99)[0-9]{13}$",
        check=checksums.luhn,
        numbers=True,
    ),
    shaped(
        "J",
        "payment cards",
        "card",
        r"^[2-6][0-9]{3}([ -]?[0-9]{4}){2}[ -]?[0-9]{1,7}$",
        check=checksums.luhn,
    ),
    named(
        "L",
        "vehicle identifiers or licence plates",
        "licence",
        f"vehicle_?{_NO} (licen[cs]e_?|number_?)?plates? licen[cs]e_?plate_?{_NO} (kfz_?)?kennzeichen"
        " matricula immatriculation",
        numbers=True,
    ),
    named("L", "vehicle numbers", "vin", "vin", r"^[A-HJ-NPR-Z0-9]{17}$", check=checksums.vin),
    named(
        "K",
        "certificate or licence numbers",
        "licence",
        f"(driver_?s?_?)?licen[cs]e_?{_NO} driver_?s?_?licen[cs]e certificate_?{_NO} dea(_?(number|no))?"
        " fuehrerschein(_?(nr|nummer))?",
        numbers=True,
        rare=True,
    ),
    shaped(
        "K",
        "prescribers' registrations (DEA)",
        "licence",
        r"^[ABCDEFGHJKLMPRSTUX][A-Z9][0-9]{7}$",
        check=checksums.dea,
    ),
    named(
        "M",
        "device identifiers or serial numbers",
        "device",
        f"(device|serial|implant|pacemaker|geraete?)_?{_NO} udi unique_device_identif(ier|ication)"
        " numero_(de_)?serie",
        numbers=True,
        rare=True,
    ),
    shaped("M", "device identifiers (UDI)", "device", r"^\(01\)[0-9]{14}"),
    named(
        "M",
        "hardware addresses",
        "mac",
        "mac_?(address|addr|adresse)",
        rf"^({_HEX}{{2}}[:-]){{5}}({_HEX}{{2}}[:-]{_HEX}{{2}}[:-])?{_HEX}{{2}}$",
        rare=True,
    ),
)
